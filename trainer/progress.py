"""How far the feedback positions that REST answers name are accounted for."""

from collections.abc import Iterable

import msgspec


class Progress(msgspec.Struct, kw_only=True):
    """`through`: every position up to it is accounted for; `ahead`: positions beyond the first one still missing.

    Kafka partitions overtake each other, so positions may arrive out of order; repeated ones change nothing.
    """

    through: int = 0
    ahead: list[int] = []

    def note(self, positions: Iterable[int | None]) -> None:
        """Accounts for positions; None stands for an event that no REST answer named."""
        ahead = {*self.ahead, *(position for position in positions if position is not None)}
        through = self.through
        while through + 1 in ahead:
            through += 1
        self.through = through
        self.ahead = sorted(position for position in ahead if position > through)
