"""MLflow's scoring server: a model saved by its PyTorch flavor, with a signature, behind `mlflow models serve`.

One worker, the default; saving takes half a minute, because the flavor exports the network.
"""

import os
import sys
from pathlib import Path

import mlflow.pytorch
import numpy as np
from mlflow.models import infer_signature

from benchmarks.serving.programs.network import load

if __name__ == "__main__":
    model = str(Path(sys.argv[2]) / "model")
    rows = np.zeros((1, 784), np.float32)
    signature = infer_signature(rows, np.zeros((1, 10), np.float32))
    mlflow.pytorch.save_model(load(), model, signature=signature, input_example=rows)
    os.environ["UVICORN_LOG_LEVEL"] = "warning"
    command = str(Path(sys.executable).with_name("mlflow"))
    options = ["-p", sys.argv[1], "-h", "127.0.0.1", "--env-manager", "local"]
    os.execv(command, [command, "models", "serve", "-m", model, *options])
