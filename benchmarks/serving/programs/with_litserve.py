"""LitServe: one worker and one HTTP process, its defaults, and `fast_queue`, which it recommends from 100 requests/s.

Its batching waits up to a millisecond: without a wait its worker spins on an empty queue and takes a core.
"""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]
import torch

from benchmarks.serving.programs import BATCH_ROWS
from benchmarks.serving.programs.network import is_batched, load

BATCH_SECONDS = 0.001


class Digits(litserve.LitAPI):  # type: ignore[misc]
    """Rows are stacked and scores taken apart by LitServe's defaults when it batches."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # the name is LitServe's
        """Loads the network in the worker's process."""
        self._network = load()

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        """The row `(784,)`."""
        return torch.tensor(request["input"])

    def predict(self, rows: torch.Tensor) -> torch.Tensor:
        """The scores of one row, or of those that were joined."""
        with torch.inference_mode():
            scores: torch.Tensor = self._network(rows)
        return scores

    def encode_response(self, scores: torch.Tensor) -> dict[str, Any]:
        """The scores of one row."""
        return {"output": scores.tolist()}


if __name__ == "__main__":
    api = Digits(max_batch_size=BATCH_ROWS if is_batched() else 1, batch_timeout=BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
