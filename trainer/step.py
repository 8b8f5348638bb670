"""A step of learning: gradient, guard and optimiser, one operation after the other."""

import math

import torch
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.guard import all_finite, broken_rows, huge
from trainer.loss import classification_loss
from trainer.optimiser import Optimiser
from trainer.strategy import Strategy


class Step:
    """Moves a network by the gradient of a batch, if that is sound."""

    def __init__(self, network: Network, strategy: Strategy, optimiser: Optimiser, clip_norm: float) -> None:
        self._network = network
        self._strategy = strategy
        self._optimiser = optimiser
        self._clip_norm = clip_norm

    def __call__(self, mixed: Batch, curvature: float) -> tuple[float, Tensor]:
        """Learns a batch; its loss in nats and its detached logits `(n, columns)`.

        The loss is NaN if a logit is huge, or if loss, gradient or buffers are not finite: then nothing has changed.
        """
        network = self._network
        buffers = list(network.module.buffers())
        before = [buffer.clone() for buffer in buffers]
        loss, logits = self._gradient(mixed)
        value = float(loss)
        is_sound = math.isfinite(value) and not bool(huge(logits, mixed)) and self._limit_gradient()
        if not is_sound or not all_finite(buffers):
            for buffer, kept in zip(buffers, before, strict=True):
                buffer.copy_(kept)
            return math.nan, logits
        self._optimiser.step(network, curvature)
        return value, logits

    def begin(self, seed: int) -> None:
        """Told before the steps of a round: what a step draws for itself alone follows from this seed. Nothing here."""

    def broken(self, mixed: Batch) -> list[int]:
        """The ids of those rows of a batch that alone break a step."""
        return broken_rows(self._network, mixed)

    def forget(self) -> None:
        """Must be called where tensors or settings of network, strategy or optimiser were exchanged: nothing here."""

    def _gradient(self, mixed: Batch) -> tuple[Tensor, Tensor]:
        """Leaves the projected gradient of loss and penalties in `network.gradient`; the loss and the logits."""
        network = self._network
        self._set_mode(len(mixed))
        logits = network(mixed.inputs, mixed.targets)
        loss = classification_loss(network, mixed, logits) + self._strategy.penalty(network, mixed, logits)
        network.gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        self._strategy.project_gradients(network)
        return loss.detach(), logits.detach()

    def _set_mode(self, rows: int) -> None:
        """Training mode, unless there is a single row: batch normalisation cannot learn from it."""
        if self._network.module.training != (rows > 1):
            self._network.module.train(rows > 1)

    def _limit_gradient(self) -> bool:
        """Scales the gradient down to the largest norm; false if it is not finite."""
        gradient = self._network.gradient
        norm = float(torch.dot(gradient, gradient)) ** 0.5
        if not math.isfinite(norm):
            return False
        if norm > self._clip_norm:
            gradient.mul_(self._clip_norm / norm)
        return True
