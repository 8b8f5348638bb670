"""The requests that servers are measured with: one row of 784 numbers in each server's own protocol."""

import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

MODEL = "mnist"
PREDICT = f"/v1/models/{MODEL}/predict"
INFER = f"/v2/models/{MODEL}/infer"
N_NUMBERS = 784
_CHANCE = random.Random(0)
ROW = [round(_CHANCE.random(), 3) for _ in range(N_NUMBERS)]


class Request(NamedTuple):
    """A POST request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def encoded(self) -> bytes:
        """What goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def as_json(path: str, document: Any) -> Request:
    """A request with a JSON document."""
    return Request(path, {"Content-Type": "application/json"}, json.dumps(document).encode())


def as_tensor(n_rows: int) -> Request:
    """An inference request of the Open Inference Protocol with its binary extension, for an answer that uses it too."""
    rows = np.array([ROW] * n_rows, "<f4").tobytes()
    tensor = {
        "name": "input",
        "shape": [n_rows, N_NUMBERS],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(rows)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Request(INFER, headers, head + rows)
