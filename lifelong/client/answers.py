"""The answers that only the client has a type for; the others are those of `contracts` and `service.documents`."""

import itertools
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.erasures import Certificate
from contracts.status import VersionRecord
from contracts.versions import CHAMPION


class VersionPage(msgspec.Struct, frozen=True):
    """Versions, newest first; `next_page_token` asks for the older ones, null at the end."""

    versions: list[VersionRecord]
    next_page_token: str | None = None

    @property
    def waiting(self) -> int | None:
        """On the first page: the newest version above the champion that passed the gate and a person has to promote."""
        newer = itertools.takewhile(lambda version: CHAMPION not in version.aliases, self.versions)
        waiting = (one.version for one in newer if one.probes.decision.verdict == "hold" and one.withdrawn is None)
        return next(waiting, None)


class ClosedTask(msgspec.Struct, frozen=True):
    """A task after its end: `row` is the accuracy in 0…1 on the probe set of each of `tasks`, null where unmeasured.

    `closed` is false when feedback that came before could not be read in time: the task ends once it is learned.
    """

    task: str
    closed: bool
    tasks: list[str]
    row: list[float | None]


class RolledBack(msgspec.Struct, frozen=True):
    """The version that is the champion again, and what it knows: the one before any feedback may know no label.

    `labels` is null where the service is too old to say.
    """

    version: int
    labels: list[str] | None = None


class Erasures(msgspec.Struct, frozen=True):
    """The certificates of a model, newest first."""

    erasures: list[Certificate]


class Inference(NamedTuple):
    """The answers to n rows, in their order, all by one version.

    `probabilities` `(n,)` in 0…1 are the labels' own, `scores` `(n, columns)` those of every column; both are float32.
    """

    version: int
    labels: list[str]
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]
    prediction_ids: list[str]
