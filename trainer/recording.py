"""What single layers read and give while rows pass through a network, for gradients that autograd would only add up."""

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from networks.flat import Network
from trainer.layer_rules import has_rule, reads_rows


class Call(NamedTuple):
    """One use of a layer: what it read, and the place of the graph where the gradient of its outputs arrives."""

    layer: nn.Module
    inputs: Tensor
    edge: GradientEdge


def record(network: Network, inputs: Tensor, layers: Iterable[nn.Module]) -> tuple[Tensor, list[Call]]:
    """The logits of encoded instances, with a graph, and every use of these layers on the way."""
    calls: list[Call] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
        if output.requires_grad:
            calls.append(Call(layer, (*given, *named.values())[0], get_gradient_edge(output)))

    with ExitStack() as stack, torch.enable_grad():
        for layer in layers:
            stack.callback(layer.register_forward_hook(note, with_kwargs=True).remove)
        return network(inputs), calls


def find_ruled(network: Network, example: Tensor, parameters: Collection[Tensor]) -> list[nn.Module]:
    """The layers that have a rule and whose parameters, all among the named ones, nothing else uses.

    Found out from one example row `(*row,)`.
    """
    candidates = [
        layer
        for layer in network.module.modules()
        if has_rule(layer) and all(each in parameters for each in layer.parameters())
    ]
    logits, calls = record(network, example.expand(2, *example.shape), candidates)
    n_calls, n_uses = Counter(call.layer for call in calls), _uses(logits)
    return [
        call.layer
        for call in calls
        if n_calls[call.layer] == 1
        and reads_rows(call.layer, call.inputs, n_rows=2)
        and all(n_uses[each] == 1 for each in call.layer.parameters())
    ]


def _uses(output: Tensor) -> Counter[Tensor]:
    """How many operations behind `output` read each parameter."""
    uses: Counter[Tensor] = Counter()
    pending, seen = [output.grad_fn], set[Node]()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        readers = [before for before, _ in node.next_functions if before is not None]
        uses.update(before.variable for before in readers if hasattr(before, "variable"))
        pending.extend(readers)
    return uses
