"""Squared gradients of single samples, summed over samples, without a pass for each sample.

For a Linear layer Σ_n (∂/∂W)² = (G²)ᵀ(X²) with G the gradients of its outputs and X its inputs, both (samples, …);
an Embedding adds up a sample's gradients by token first. Every other parameter, and any that the module uses more than
once, goes through `torch.func`. Sums are kept in float64, where squares of finite float32 numbers cannot overflow.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.func import functional_call, vjp, vmap

from networks.flat import Network

SMALLEST = torch.finfo(torch.float32).tiny
REST_NUMBERS = 2**24
"""Upper bound of the single gradients held at once: 64 MB in float32."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, each part's own mode afterwards."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


class _Rule(Protocol):
    """One use of one layer: takes gradients of its outputs, one direction after the other."""

    def take(self, gradient: Tensor) -> None: ...

    def squares(self) -> list[tuple[Tensor, Tensor]]: ...


class _LinearRule:
    def __init__(self, layer: nn.Linear, inputs: Tensor) -> None:
        self._layer = layer
        self._inputs = inputs
        self._energy = torch.zeros(len(inputs), layer.out_features, dtype=torch.float64, device=inputs.device)

    def take(self, gradient: Tensor) -> None:
        self._energy.addcmul_(gradient, gradient)

    def squares(self) -> list[tuple[Tensor, Tensor]]:
        found = [(self._layer.weight, _product(self._energy, self._inputs))]
        return found if self._layer.bias is None else [*found, (self._layer.bias, self._energy.sum(dim=0))]


def _product(energy: Tensor, inputs: Tensor) -> Tensor:
    """(G²)ᵀ(X²) in float32 speed: each column is scaled to at most 1 first, so no square overflows."""
    largest, reach = energy.amax(dim=0).clamp(min=SMALLEST), inputs.abs().amax(dim=0).clamp(min=SMALLEST)
    product = (energy / largest).float().T @ (inputs / reach).square()
    return product.double() * largest[:, None] * reach.double().square()


class _EmbeddingRule:
    def __init__(self, layer: nn.Embedding, tokens: Tensor) -> None:
        self._layer = layer
        samples = torch.arange(len(tokens), device=tokens.device).view(-1, *[1] * (tokens.dim() - 1))
        keys = (samples * layer.num_embeddings + tokens).flatten()
        pairs, self._place = torch.unique(keys, return_inverse=True)
        self._tokens = pairs % layer.num_embeddings
        self._energy = torch.zeros(len(pairs), layer.embedding_dim, dtype=torch.float64, device=tokens.device)

    def take(self, gradient: Tensor) -> None:
        flat = gradient.reshape(-1, self._layer.embedding_dim)
        by_pair = torch.zeros_like(self._energy, dtype=flat.dtype).index_add_(0, self._place, flat)
        self._energy.addcmul_(by_pair, by_pair)

    def squares(self) -> list[tuple[Tensor, Tensor]]:
        total = torch.zeros_like(self._layer.weight, dtype=torch.float64).index_add_(0, self._tokens, self._energy)
        if self._layer.padding_idx is not None:
            total[self._layer.padding_idx] = 0
        return [(self._layer.weight, total)]


class _Call(NamedTuple):
    layer: nn.Module
    inputs: Tensor | None
    edge: GradientEdge


class PerSampleSquares:
    """The running sum `total`, float64 `(P,)`, of squared single-sample gradients. Use it in evaluation mode."""

    def __init__(self, network: Network, example: Tensor) -> None:
        """Finds out from one example row `(*row,)` how each parameter is used."""
        self._network = network
        self.total = torch.zeros(network.layout.size, dtype=torch.float64, device=network.theta.device)
        parameters = dict(network.module.named_parameters())
        views = network.layout.views(self.total)
        self._places: dict[Tensor, Tensor] = {parameters[name]: view for name, view in views.items()}
        self._ruled = self._find_ruled(example)
        by_rule = {each for layer in self._ruled for each in layer.parameters()}
        self._rest = {name: parameters[name] for name in views if parameters[name] not in by_rule}

    def add(self, inputs: Tensor, choose: Callable[[Tensor], Tensor]) -> None:
        """Adds Σ_n Σ_v (∂ v·logits_n / ∂θ)² for the vectors v `(n, directions, columns)` that `choose` gives."""
        logits, calls = self._forward(inputs, self._ruled)
        directions = choose(logits.detach())
        rules = [_rule(call) for call in calls]
        edges = [call.edge for call in calls]
        for number in range(directions.shape[1] if edges else 0):
            gradients = torch.autograd.grad(logits, edges, directions[:, number], retain_graph=True, allow_unused=True)
            for rule, gradient in zip(rules, gradients, strict=True):
                if gradient is not None:
                    rule.take(gradient)
        for parameter, squares in itertools.chain.from_iterable(rule.squares() for rule in rules):
            self._places[parameter] += squares
        if self._rest:
            self._add_rest(self._network.scaled(inputs), directions)

    def _forward(self, inputs: Tensor, layers: Iterable[nn.Module]) -> tuple[Tensor, list[_Call]]:
        calls: list[_Call] = []

        def record(layer: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
            calls.append(_Call(layer, arguments[0] if arguments else None, get_gradient_edge(output)))

        with ExitStack() as stack, torch.enable_grad():
            for layer in layers:
                stack.callback(layer.register_forward_hook(record).remove)
            return self._network(inputs), calls

    def _find_ruled(self, example: Tensor) -> list[nn.Module]:
        candidates = [
            layer
            for layer in self._network.module.modules()
            if _is_plain(layer) and all(each in self._places for each in layer.parameters())
        ]
        logits, calls = self._forward(example.expand(2, *example.shape), candidates)
        n_calls, n_uses = Counter(call.layer for call in calls), _uses(logits)
        return [
            call.layer
            for call in calls
            if n_calls[call.layer] == 1
            and _has_rows(call, n_rows=2)
            and all(n_uses[each] == 1 for each in call.layer.parameters())
        ]

    def _add_rest(self, inputs: Tensor, directions: Tensor) -> None:
        n_numbers = directions.shape[1] * sum(each.numel() for each in self._rest.values())
        rows = max(1, REST_NUMBERS // max(1, n_numbers))
        with torch.no_grad():
            for some, some_directions in zip(torch.split(inputs, rows), torch.split(directions, rows), strict=True):
                squares = vmap(self._squares_of_row)(some, some_directions)
                for name, parameter in self._rest.items():
                    self._places[parameter] += squares[name].sum(dim=0)

    def _squares_of_row(self, row: Tensor, directions: Tensor) -> dict[str, Tensor]:
        def logits(parameters: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(self._network.module, parameters, (row.unsqueeze(0),))
            return output.squeeze(0)

        pull_back = vjp(logits, self._rest)[1]
        (gradients,) = vmap(pull_back)(directions)
        return {name: gradient.double().square().sum(dim=0) for name, gradient in gradients.items()}


def _is_plain(layer: nn.Module) -> bool:
    """Whether the layer's class has a rule; subclasses may compute something else."""
    if type(layer) is nn.Embedding:
        return layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse
    return type(layer) is nn.Linear


def _has_rows(call: _Call, n_rows: int) -> bool:
    if call.inputs is None or len(call.inputs) != n_rows:
        return False
    return type(call.layer) is nn.Embedding or call.inputs.dim() == 2


def _rule(call: _Call) -> _Rule:
    assert call.inputs is not None
    if isinstance(call.layer, nn.Linear):
        return _LinearRule(call.layer, call.inputs.detach())
    assert isinstance(call.layer, nn.Embedding)
    return _EmbeddingRule(call.layer, call.inputs)


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
