"""The Open Inference Protocol as KServe's client speaks it, in an environment of its own: it needs older packages."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import environment
from networks.build import from_document
from networks.predictor import Predictor
from tests.service.listening import listening
from tests.service.versions import artifact

PROGRAM = Path(__file__).with_name("kserve_client.py")
PACKAGES = ["kserve==0.21.0"]


@pytest.mark.timeout(1800)
def test_kserve_client_sees_health_and_infers(tmp_path: Path) -> None:
    version = artifact(2)
    python = environment(tmp_path / "kserve", PACKAGES)
    with listening(tmp_path / "pets", {2: version}) as address:
        command = [python, PROGRAM, f"http://{address}"]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (seen["live"], seen["ready"], seen["model_ready"]) == (True, True, True)
    rows = np.asarray([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)
    labels, probabilities, _ = Predictor(from_document(version.model, version.weights), version.model).predict(
        rows, None
    )
    for name in ("json", "binary"):
        answer = seen["answers"][name]
        assert answer["id"] == name
        assert answer["outputs"]["label"] == labels
        assert answer["outputs"]["probability"] == pytest.approx(probabilities.tolist())
