"""What a batch alone would have the network do: losses and gradients beside those of the step."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from networks.flat import Layout, Network, evaluating
from trainer.batch import Batch
from trainer.loss import classification_loss, competing, masked
from trainer.recording import find_ruled, record


def loss_gradient(network: Network, batch: Batch) -> Tensor:
    """The gradient (P,) of a batch's classification loss in evaluation mode; `network.gradient` stays as it is."""
    parameters = dict(network.module.named_parameters())
    own = [parameters[name] for name in network.layout.names]
    with evaluating(network.module), torch.enable_grad():
        loss = classification_loss(network, batch, network(batch.inputs))
        found = torch.autograd.grad(loss, own, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


class GroupGradients:
    """The gradients (groups, P) of the classification losses of groups of rows, each as `loss_gradient` has it.

    Where all parameters are those of Linear layers, one pass over all rows is enough: a layer's gradient is Gᵀ X over
    the rows of a group, with G the gradients of its outputs and X its inputs. Others take a pass for each group.
    """

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._layers: list[nn.Linear] = []

    def __call__(self, network: Network, rows: Batch, sizes: Sequence[int]) -> Tensor:
        """Of rows that stand group after group, as many of each as `sizes` says; `network.gradient` stays as it is."""
        with evaluating(network.module):
            if self._layout is not network.layout:
                self._layout, self._layers = network.layout, _linear(network, rows.inputs[0])
            if self._layers:
                return self._together(network, rows, sizes)
        bounds = accumulate(sizes, initial=0)
        groups = [rows.select(slice(*ends)) for ends in pairwise(bounds)]
        return torch.stack([loss_gradient(network, group) for group in groups])

    def _together(self, network: Network, rows: Batch, sizes: Sequence[int]) -> Tensor:
        counts = torch.tensor(sizes, device=rows.targets.device)
        logits, calls = record(network, rows.inputs, self._layers)
        batch = replace(rows, weights=(1 / counts).repeat_interleave(counts))
        gradients = torch.autograd.grad(classification_loss(network, batch, logits), [call.edge for call in calls])
        found = network.theta.new_empty(len(sizes), network.layout.size)
        names = {parameter: name for name, parameter in network.module.named_parameters()}
        places = [network.layout.views(each) for each in found]
        for call, gradient in zip(calls, gradients, strict=True):
            own = {name: names[each] for name, each in call.layer.named_parameters()}
            both = (torch.split(each.float(), list(sizes)) for each in (call.inputs.detach(), gradient))
            for place, inputs, outputs in zip(places, *both, strict=True):
                torch.mm(outputs.T, inputs, out=place[own["weight"]])
                if "bias" in own:
                    torch.sum(outputs, 0, out=place[own["bias"]])
        return found


def row_losses(network: Network, batch: Batch) -> Tensor:
    """The cross-entropy (n,) in nats of each row among its competing columns, in evaluation mode."""
    with evaluating(network.module), torch.no_grad():
        logits = network(batch.inputs)
    return cross_entropy(masked(logits, competing(network, batch)), batch.targets, reduction="none")


def _linear(network: Network, example: Tensor) -> list[nn.Linear]:
    """The network's Linear layers if they hold all of its parameters, else none."""
    parameters = dict(network.module.named_parameters())
    own = {parameters[name] for name in network.layout.names}
    layers = [layer for layer in find_ruled(network, example, own) if isinstance(layer, nn.Linear)]
    held = {each for layer in layers for each in layer.parameters()}
    return layers if held == own else []
