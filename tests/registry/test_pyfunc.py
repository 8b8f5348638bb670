"""Versions load in a program that knows MLflow's address and has `lifelong` installed, and nothing else of ours."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from contracts.inputs import parse_input
from contracts.labels import Column
from contracts.versions import Artifact, ModelDocument
from networks.build import build, from_document
from networks.predictor import Predictor
from networks.settings import parse_network
from registry.connection import connect
from registry.store import Registry
from tests.registry.server import MlflowServer
from tests.registry.versions import DIGITS, MLFLOW_IS_BEHIND_SQLALCHEMY, version

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings(MLFLOW_IS_BEHIND_SQLALCHEMY)]

USER = """
import json, sys
import mlflow, numpy, pandas, torch
torch.set_num_threads(1)
answers = []
for question in json.load(sys.stdin):
    mlflow.set_tracking_uri(question["uri"])
    model = mlflow.pyfunc.load_model(f"models:/{question['name']}/1")
    form = {"list": list, "array": numpy.array, "frame": pandas.DataFrame}[question["form"]]
    answers.append(model.predict(form(question["instances"]), params=question["params"]))
sys.stdout.write(json.dumps(answers))
"""
TASKS = [Column("zero", "first"), Column("one", "first"), Column("two", "second")]
MODELS: dict[str, ModelDocument] = {
    "numbers": DIGITS,
    "tasks": msgspec.structs.replace(DIGITS, labels={"scenario": "task"}, columns=TASKS),
    "texts": msgspec.structs.replace(
        DIGITS, input={"kind": "text", "buckets": 64}, network={"kind": "text", "width": 4, "hidden": []}
    ),
    "table": msgspec.structs.replace(
        DIGITS, input={"kind": "tabular", "columns": {"age": "number", "colour": ["red", "blue"]}}
    ),
}
QUESTIONS: list[tuple[str, str, list[Any], str | None]] = [
    ("numbers", "list", [[0.0, 1.0, 2.0, 3.0], [3.0, 1.0, 0.0, -1.0]], None),
    ("numbers", "array", [[0.0, 1.0, 2.0, 3.0]], None),
    ("numbers", "frame", [[0.0, 1.0, 2.0, 3.0]], None),
    ("tasks", "list", [[0.0, 1.0, 2.0, 3.0]], "second"),
    ("tasks", "array", [[0.0, 1.0, 2.0, 3.0]], "first"),
    ("texts", "list", ["where is my parcel", "thank you"], None),
    ("table", "frame", [{"age": 40, "colour": "red"}, {"age": 7.5, "colour": "blue"}], None),
]


def test_every_kind_of_model_answers_elsewhere_as_it_does_here(
    mlflow_server: MlflowServer, embedded: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    asked, expected = [], []
    for uri in (None, mlflow_server.uri):
        artifacts = {name: _published(name, document, uri, embedded) for name, document in MODELS.items()}
        for name, form, instances, task in QUESTIONS:
            params = {"task": task} if task else None
            address = connect(uri, embedded).address
            asked.append({"uri": address, "name": name, "form": form, "instances": instances, "params": params})
            expected.append(_answers(artifacts[name], instances, task))
    assert _ask(asked, tmp_path) == expected


def _published(name: str, document: ModelDocument, uri: str | None, directory: Path) -> Artifact:
    document = msgspec.structs.replace(document, model=name)
    network = build(parse_network(document.network), parse_input(document.input), document.columns, seed=3)
    artifact = version(1, network.weights(), document)
    registry = Registry(name, uri, directory)
    registry.register(artifact)
    registry.point(1, None, None, 1)
    return artifact


def _answers(artifact: Artifact, instances: Sequence[Any], task: str | None) -> list[dict[str, object]]:
    predictor = Predictor(from_document(artifact.model, artifact.weights), artifact.model)
    labels, probabilities, _ = predictor.predict(np.array(parse_input(artifact.model.input).encode(instances)), task)
    pairs = zip(labels, probabilities.tolist(), strict=True)
    return [{"label": label, "probability": pytest.approx(probability)} for label, probability in pairs]


def _ask(questions: list[dict[str, Any]], directory: Path) -> object:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USER],
        input=json.dumps(questions).encode(),
        capture_output=True,
        cwd=directory,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        check=False,
    )
    assert asked.returncode == 0, asked.stderr.decode()
    return json.loads(asked.stdout)
