"""MLServer: no worker processes, which only add a hop to one small model; no adaptive batching, its default."""

import json
import os
import sys
from pathlib import Path

import torch
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.serving.programs.network import load


class Digits(MLModel):  # type: ignore[misc]
    """Answers the Open Inference Protocol."""

    async def load(self) -> bool:
        """Loads the network."""
        self._network = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The scores `(n, 10)` of the rows `(n, 784)` of the one input."""
        rows = torch.from_numpy(NumpyCodec.decode_input(payload.inputs[0]))
        with torch.inference_mode():
            scores = self._network(rows).numpy()
        output = NumpyCodec.encode_output("scores", scores)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])


def write_settings(directory: Path, port: int) -> None:
    """The two documents that `mlserver start` reads."""
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "parallel_workers": 0,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    model = {"name": "mnist", "implementation": f"{__spec__.name}.{Digits.__name__}"}
    (directory / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    write_settings(Path(sys.argv[2]), int(sys.argv[1]))
    mlserver = str(Path(sys.executable).with_name("mlserver"))
    os.execv(mlserver, [mlserver, "start", sys.argv[2]])
