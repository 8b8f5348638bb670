"""An erasure: one subject's data taken out of all that a model keeps, and the certificate that says so."""

from typing import Literal

import msgspec

from contracts.versions import sha256

ErasureState = Literal["waiting", "retraining", "withdrawing", "done"]


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request to forget a subject; once it is `done`, its certificate.

    `waiting`: what was accepted before the request is not accounted for yet, or a file could not be written. From
    `retraining` on nothing is kept of the subject's data, and what was learned from it is learned anew without it; the
    last version made before is served meanwhile. `withdrawing`: the new version is served, and the registry still holds
    older ones. Times are Unix seconds. `subject_sha256` is of the subject's UTF-8 bytes: its name is kept no longer.

    `examples` and `probes` count erased training and probe rows, `dead_letters` records put aside, `requests`
    remembered predict requests with an instance of its events. `withdrawn` are the versions that had learned from it:
    their files are deleted. `version` was made without it, in the place of the champion; null where the champion had
    not learned from it. `not_erased` names what keeps copies that this service cannot delete.
    """

    id: str
    subject_sha256: str
    state: ErasureState
    asked_at: float
    erased_at: float | None = None
    completed_at: float | None = None
    examples: int = 0
    probes: int = 0
    dead_letters: int = 0
    requests: int = 0
    withdrawn: list[int] = []
    version: int | None = None
    not_erased: list[str] = []


class Certificate(Erasure, frozen=True, kw_only=True):
    """An erasure as the service shows it; `answering` counts live replicas that still answer by a withdrawn version."""

    answering: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the subject is kept and nothing that learned from it answers any more."""
        return self.state == "done" and self.answering == 0


class ErasureRequest(msgspec.Struct, frozen=True):
    """A request to forget a subject that was taken: `erasure` is the id of its certificate."""

    erasure: str
    state: ErasureState


class ErasureCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures that are not done, since when the oldest of them waits (Unix seconds), and the rows erased by all."""

    pending: int = 0
    oldest_asked_at: float | None = None
    events: int = 0


def subject_digest(subject: str) -> str:
    """Hexadecimal SHA-256 by which a certificate names its subject to who knows the name."""
    return sha256(subject.encode())
