"""The servers of the comparison: how each is started and asked."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import environment
from benchmarks.serving.wire import PREDICT, ROW, Request, as_json

ENVIRONMENTS = Path(".cache/peers")
COMMON = [f"{name}=={version(package)}" for name, package in (("uvicorn[standard]", "uvicorn"), ("numpy", "numpy"))]
"""Every peer gets uvicorn's fast loop and parser, as ours has, whether it asks for them or not."""


@dataclass(frozen=True)
class Server:
    """A server; `package` is empty for those that run in our own environment."""

    name: str
    meaning: str
    request: Request
    package: str = ""
    is_batched: bool = False

    def command(self) -> list[str]:
        """What starts it, but for its port and a directory of its own; a peer's environment is made if need be."""
        if not self.package:
            return [sys.executable, "-m", "benchmarks.serving.own", self.name]
        peer = self.package.partition("==")[0]
        python = environment(ENVIRONMENTS / self.package.replace("==", "-"), [self.package, *COMMON])
        return [str(python), "-m", f"benchmarks.serving.programs.with_{peer}"]


def _servers() -> list[Server]:
    ours = as_json(PREDICT, {"instances": [ROW]})
    tensor = {"name": "input", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
    lit, bento = as_json("/predict", {"input": ROW}), as_json("/predict", {"rows": [ROW]})
    return [
        Server("ours", "lifelong: Ray Serve, HAProxy, answered before Serve's accounting", ours),
        Server("bare", "the same predict code on bare uvicorn", ours),
        Server("documented", "Ray Serve as documented: FastAPI ingress, Python proxy", ours),
        Server("fastapi", "FastAPI on uvicorn", ours),
        Server("litserve", "LitServe", lit, "litserve==0.2.19"),
        Server("litserve-batched", "LitServe with batching", lit, "litserve==0.2.19", is_batched=True),
        Server("bentoml", "BentoML", bento, "bentoml==1.4.39"),
        Server("bentoml-batched", "BentoML with adaptive batching", bento, "bentoml==1.4.39", is_batched=True),
        Server("mlserver", "MLServer", as_json("/v2/models/mnist/infer", {"inputs": [tensor]}), "mlserver==1.7.1"),
        Server("mlflow", "MLflow's scoring server", as_json("/invocations", {"inputs": [ROW]}), "mlflow==3.17.2"),
    ]


SERVERS = {server.name: server for server in _servers()}


def versions(servers: Sequence[Server]) -> dict[str, str]:
    """The exact versions of what was measured, by package."""
    own = {name: version(name) for name in ("torch", "ray", "fastapi", "uvicorn")}
    return own | dict(server.package.split("==") for server in servers if server.package)
