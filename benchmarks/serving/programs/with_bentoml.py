"""BentoML: one worker, its default; typed arrays as its documentation recommends; batching with its own defaults."""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml  # type: ignore[import-not-found]
import numpy as np
import torch
from bentoml.validators import DType, Shape  # type: ignore[import-not-found]

from benchmarks.serving.programs import BATCH_ROWS
from benchmarks.serving.programs.network import is_batched, load

Rows = Annotated[np.ndarray, DType("float32"), Shape((-1, 784))]


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Digits:
    """The network behind BentoML's HTTP server."""

    def __init__(self) -> None:
        self._network = load()

    @bentoml.api(batchable=is_batched(), max_batch_size=BATCH_ROWS)  # type: ignore[untyped-decorator]
    def predict(self, rows: Rows) -> np.ndarray:
        """The scores `(n, 10)` of rows `(n, 784)`."""
        with torch.inference_mode():
            scores: np.ndarray = self._network(torch.from_numpy(rows)).numpy()
        return scores


if __name__ == "__main__":
    bento = str(Path(sys.executable).with_name("bentoml"))
    options = ["--port", sys.argv[1], "--host", "127.0.0.1"]
    os.execv(bento, [bento, "serve", f"{__spec__.name}:Digits", *options])
