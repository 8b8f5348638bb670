"""The version that every server of the comparison serves: the perceptron 784-400-400-10, untrained.

Its speed is that of a trained one.
"""

from pathlib import Path

from benchmarks.serving.wire import MODEL, N_NUMBERS
from contracts.inputs import parse_input
from contracts.labels import Column
from contracts.versions import Artifact, Decision, EventRange, Lineage, ModelDocument, ProbeReport, pin
from networks.flat import Network
from networks.settings import MlpSpec, parse_network
from service.settings import HostedModel

INPUT = {"kind": "tensor", "shape": [N_NUMBERS]}
NETWORK = {"kind": "mlp", "hidden": [400, 400]}
COLUMNS = [Column(str(digit)) for digit in range(10)]


def artifact(version: int = 1) -> Artifact:
    """A whole version; each number has weights of its own."""
    model = ModelDocument(
        model=MODEL, version=version, input=INPUT, labels={}, columns=COLUMNS, network=NETWORK, seed=version
    )
    probes = ProbeReport(tasks=[], rows=[], accuracy=[], decision=Decision(verdict="promote", reasons=[]))
    weights = _network(version).weights()
    lineage = Lineage(
        version=version,
        parent=None,
        created_at="",
        round=0,
        events=EventRange(first_sequence=1, last_sequence=1, count=0, sha256=""),
        processed_through=0,
        strategies=[],
        seed=version,
        threads=1,
        code_version="",
        sha256=pin(weights, model, probes),
    )
    return Artifact(weights, model, lineage, probes)


def save_weights(path: Path) -> Path:
    """Writes the weights of version 1 for the peers, as one vector."""
    import torch

    torch.save(_network(1).theta.clone(), path)
    return path


def hosted(directory: Path) -> HostedModel:
    """The model as a replica hosts it."""
    network = MlpSpec(hidden=[400, 400])
    return HostedModel(name=MODEL, input=parse_input(INPUT), network=network, directory=directory / MODEL)


def _network(seed: int) -> Network:
    from networks.build import build

    return build(parse_network(NETWORK), parse_input(INPUT), COLUMNS, seed)
