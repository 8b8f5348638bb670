"""A version: its number, its four files, and how they are pinned and checked."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from contracts.errors import InvalidArtifact
from contracts.labels import Column

WEIGHTS, MODEL, LINEAGE, PROBES = "weights.safetensors", "model.json", "lineage.json", "probes.json"
FILES = (WEIGHTS, MODEL, LINEAGE, PROBES)
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

Verdict = Literal["promote", "refuse", "hold"]
Reason = Literal[
    "nothing_lost",
    "no_probe_rows",
    "gained",
    "gain_outweighs",
    "loss_outweighs",
    "loss_without_gain",
    "new_unmeasured",
    "drops_too_far",
    "too_many_flips",
    "over_budget",
    "too_few_rows",
    "not_auto",
    "erased",
]
"""Which rules of the gate a verdict came from: a small set beside the sentences, for counting (docs/metrics.md)."""


class TaskComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate did to one task's probe set, row by row against the champion.

    `before` and `after` are accuracies in 0…1 over the same `rows`; `gained` and `lost` count the rows that became
    right and wrong; `p_loss` is the one-sided exact McNemar probability of losing at least as many by chance.
    """

    task: str
    rows: int
    before: float
    after: float
    gained: int
    lost: int
    p_loss: float
    best: float
    is_new: bool
    verdict: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's verdict on a candidate, always with its reasons; versions from before there were codes have none."""

    verdict: Verdict
    reasons: list[str]
    tasks: list[TaskComparison] = []
    codes: list[Reason] | msgspec.UnsetType = msgspec.UNSET


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`model.json`: all that is needed to rebuild the network and to read its answers."""

    model: str
    version: int
    input: dict[str, Any]
    labels: dict[str, Any]
    columns: list[Column]
    network: dict[str, Any]
    seed: int


class EventRange(msgspec.Struct, frozen=True, kw_only=True):
    """The examples a version was trained on since its parent: `sequence` numbers of the trainer's example store."""

    first_sequence: int
    last_sequence: int
    count: int
    sha256: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """`lineage.json`: where a version came from, enough to rebuild its weights from the record of rounds."""

    version: int
    parent: int | None
    created_at: str
    round: int
    events: EventRange
    processed_through: int
    strategies: list[dict[str, Any]]
    seed: int
    threads: int
    workers: int = 1
    code_version: str
    sha256: dict[str, str]


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """`probes.json`: the accuracy of this version on every probe set, and the decision about it."""

    tasks: list[str]
    rows: list[int]
    accuracy: list[float]
    decision: Decision


class Artifact(NamedTuple):
    """One version, whole: what the trainer writes, the registry stores and a replica loads."""

    weights: bytes
    model: ModelDocument
    lineage: Lineage
    probes: ProbeReport

    @property
    def version(self) -> int:
        """The version's number, counted from 1 for each model."""
        return self.model.version

    def files(self) -> dict[str, bytes]:
        """The four files by name."""
        return {
            WEIGHTS: self.weights,
            MODEL: msgspec.json.encode(self.model),
            LINEAGE: msgspec.json.encode(self.lineage),
            PROBES: msgspec.json.encode(self.probes),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Artifact":
        """Reads the four files back and checks every digest that the lineage pins.

        Raises:
            InvalidArtifact: `missing_file`, `bad_document` or `digest_mismatch`, naming the file.
        """
        for name in FILES:
            if name not in files:
                raise InvalidArtifact("missing_file", f"the version has no {name}")
        try:
            model = msgspec.json.decode(files[MODEL], type=ModelDocument)
            lineage = msgspec.json.decode(files[LINEAGE], type=Lineage)
            probes = msgspec.json.decode(files[PROBES], type=ProbeReport)
        except msgspec.MsgspecError:
            raise InvalidArtifact("bad_document", "a document of the version does not have its schema") from None
        for name in (WEIGHTS, MODEL, PROBES):
            if lineage.sha256.get(name) != sha256(files[name]):
                raise InvalidArtifact("digest_mismatch", f"{name} is not the file that lineage.json names")
        return cls(files[WEIGHTS], model, lineage, probes)


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def pin(weights: bytes, model: ModelDocument, probes: ProbeReport) -> dict[str, str]:
    """The digests that `lineage.json` records for the other three files."""
    contents = {WEIGHTS: weights, MODEL: msgspec.json.encode(model), PROBES: msgspec.json.encode(probes)}
    return {name: sha256(content) for name, content in contents.items()}
