"""The erasures of one model, as the trainer told of them, with what only the hub knows: who answers by what."""

from collections.abc import Mapping, Sequence

import msgspec

from contracts.erasures import Certificate, Erasure
from service.errors import PartUnavailable


class Certificates:
    """What a hub can show of erasures; one that was just started knows none until the trainer tells it."""

    def __init__(self) -> None:
        self._erasures: list[Erasure] | None = None

    def replace(self, erasures: Sequence[Erasure]) -> None:
        """These are all, newest first."""
        self._erasures = list(erasures)

    def withdraws(self, version: int) -> bool:
        """Whether one of them withdrew a version."""
        return any(version in erasure.withdrawn for erasure in self._erasures or ())

    def all(self, serving: Mapping[int, int]) -> list[Certificate]:
        """All of them, with how many of the replicas that are `serving`, by version, answer by a withdrawn one.

        Raises:
            PartUnavailable: the trainer has told of none since this hub was started.
        """
        return [_shown(erasure, serving) for erasure in self._known()]

    def one(self, name: str, serving: Mapping[int, int]) -> Certificate | None:
        """The one of that id; None where there is none. Raises as `all`."""
        return next((_shown(erasure, serving) for erasure in self._known() if erasure.id == name), None)

    def _known(self) -> list[Erasure]:
        if self._erasures is None:
            raise PartUnavailable("trainer_unavailable", "the trainer has not yet told of its erasures")
        return self._erasures


def _shown(erasure: Erasure, serving: Mapping[int, int]) -> Certificate:
    answering = sum(serving.get(one, 0) for one in erasure.withdrawn)
    return Certificate(**msgspec.structs.asdict(erasure), answering=answering)
