"""What keeps learning finite: a test for it, a place to go back to, and a place for rows that cannot be learned."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from networks.flat import Network, evaluating
from trainer.batch import Batch
from trainer.optimiser import Optimiser

HUGE = 1e15


class Snapshot:
    """A network and its optimiser at one moment."""

    def __init__(self, network: Network, optimiser: Optimiser) -> None:
        self._tensors = {name: tensor.clone() for name, tensor in network.tensors().items()}
        self._optimiser = optimiser.state_dict()

    def restore(self, network: Network, optimiser: Optimiser) -> None:
        """Makes both what they were; the network must have the columns it had then."""
        network.load_tensors(self._tensors)
        optimiser.load_state_dict(self._optimiser)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number is infinite or NaN; one pass over each tensor, without a copy of it."""
    extremes = [torch.stack(each.aminmax()) for each in tensors if each.is_floating_point() and each.numel()]
    return all(bool(pair.isfinite().all()) for pair in extremes)


def huge(logits: Tensor, batch: Batch) -> Tensor:
    """Whether a row's logit for its own label is larger than any that a network could still unlearn, as one boolean.

    Right by chance, such a row costs nothing now, and overflows in every later step that finds it wrong.
    """
    return (logits.gather(1, batch.targets[:, None]) > HUGE).any()


class Quarantine:
    """The rows that broke a step, by their ids in the order in which they were found."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self.ids = list(ids)

    def sound(self, batch: Batch) -> Batch:
        """The rows that are not in quarantine; the batch itself when that is all of them."""
        inside = self._inside(batch)
        return batch if inside is None else batch.select(~inside)

    def blanked(self, batch: Batch) -> Batch:
        """The batch with zeros for what is in quarantine, which counts nothing: a memory may have kept such a row."""
        inside = self._inside(batch)
        if inside is None:
            return batch
        own = inside.view(-1, *[1] * (batch.inputs.dim() - 1))
        inputs, weights = batch.inputs.masked_fill(own, 0), batch.shares.masked_fill(inside, 0.0)
        return replace(batch, inputs=inputs, weights=weights)

    def take(self, broken: Sequence[int], rows: int) -> bool:
        """Takes in the ids of those of a step's rows that break it; whether there are any new ones.

        Where none of the rows is sound it is not known whether rows or network are at fault, and none is taken in.
        """
        if not 0 < len(broken) < rows:
            return False
        new = dict.fromkeys(row for row in broken if row >= 0 and row not in self.ids)
        self.ids += new
        return len(new) > 0

    def _inside(self, batch: Batch) -> Tensor | None:
        """Which rows (n,) are in quarantine; None where none is."""
        if not self.ids:
            return None
        inside = torch.isin(batch.ids, torch.tensor(self.ids, device=batch.ids.device))
        return inside if bool(inside.any()) else None


def broken_rows(network: Network, rows: Batch) -> list[int]:
    """The ids of rows that alone break a step, one for each row in their order; none if the network itself is broken.

    Their own logit, in evaluation mode, is huge or has no gradient of finite length. The gradient of the loss would not
    do: it is zero where a huge row is right by chance.
    """
    return _broken(network, rows) if len(rows) and all_finite([network.theta]) else []


def _broken(network: Network, rows: Batch) -> list[int]:
    """Found by halving."""
    network.gradient.zero_()
    with evaluating(network.module):
        logits = network(rows.inputs, rows.targets)
    logits.gather(1, rows.targets[:, None]).sum().backward()  # type: ignore[no-untyped-call]
    if bool(torch.dot(network.gradient, network.gradient).isfinite()) and not bool(huge(logits.detach(), rows)):
        return []
    if len(rows) == 1:
        return [int(rows.ids)]
    middle = len(rows) // 2
    return [*_broken(network, rows.select(slice(0, middle))), *_broken(network, rows.select(slice(middle, None)))]
