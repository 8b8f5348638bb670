"""Magnitudes of single samples' gradients, summed over samples, without a pass for each sample.

Layers that `layer_rules` knows need one backward pass down to their outputs. Every other parameter, and any that the
module uses more than once, goes through `torch.func`; what that cannot vectorise is taken one sample at a time.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from networks.flat import Network, scaled
from trainer.layer_rules import Magnitude, rule_for
from trainer.recording import find_ruled, record

REST_NUMBERS = 2**24
"""Upper bound of the single gradients held at once: 64 MB in float32."""


class PerSampleSums:
    """The running sum `total`, float64 `(P,)`, of magnitudes of single-sample gradients. Use it in evaluation mode."""

    def __init__(self, network: Network, example: Tensor, magnitude: Magnitude, dtype: torch.dtype) -> None:
        """Finds out from one example row `(*row,)` how each parameter is used; magnitudes are taken in `dtype`."""
        self._network = network
        self._magnitude = magnitude
        self._dtype = dtype
        self.total = torch.zeros(network.layout.size, dtype=torch.float64, device=network.theta.device)
        parameters = dict(network.module.named_parameters())
        views = network.layout.views(self.total)
        self._places: dict[Tensor, Tensor] = {parameters[name]: view for name, view in views.items()}
        self._ruled = find_ruled(network, example, self._places)
        by_rule = {each for layer in self._ruled for each in layer.parameters()}
        self._rest = {name: parameters[name] for name in views if parameters[name] not in by_rule}
        self._is_vectorised = True
        self._fixed = {name: each.detach() for name, each in parameters.items() if name not in self._rest}

    @property
    def rest(self) -> list[str]:
        """Names of the parameters that no layer's rule covers: each costs a single gradient for every sample."""
        return list(self._rest)

    def add(self, inputs: Tensor, choose: Callable[[Tensor], Tensor]) -> None:
        """Adds Σ_n Σ_v magnitude(∂ v·logits_n / ∂θ) for the vectors v `(n, directions, columns)` of `choose`."""
        logits, calls = record(self._network, inputs, self._ruled)
        directions = choose(logits.detach())
        rules = [rule_for(call.layer, call.inputs, self._magnitude, self._dtype) for call in calls]
        edges = [call.edge for call in calls]
        for number in range(directions.shape[1] if edges else 0):
            gradients = torch.autograd.grad(logits, edges, directions[:, number], retain_graph=True, allow_unused=True)
            for rule, gradient in zip(rules, gradients, strict=True):
                if gradient is not None:
                    rule.take(gradient)
        for rule in rules:
            rule.add_to(self._places)
        if self._rest and directions.shape[1]:
            self._add_rest(scaled(inputs), directions)

    def _add_rest(self, inputs: Tensor, directions: Tensor) -> None:
        n_numbers = directions.shape[1] * sum(each.numel() for each in self._rest.values())
        rows = max(1, REST_NUMBERS // n_numbers)
        for some, some_directions in zip(torch.split(inputs, rows), torch.split(directions, rows), strict=True):
            for name, sums in self._sums_of_rest(some, some_directions).items():
                self._places[self._rest[name]] += sums

    def _sums_of_rest(self, inputs: Tensor, directions: Tensor) -> dict[str, Tensor]:
        if self._is_vectorised:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="There is a performance drop")
                    sums: dict[str, Tensor] = vmap(self._sums_of_row)(inputs, directions)
                return {name: each.sum(dim=0) for name, each in sums.items()}
            except RuntimeError:
                self._is_vectorised = False
        return self._sums_one_by_one(inputs, directions)

    def _sums_one_by_one(self, inputs: Tensor, directions: Tensor) -> dict[str, Tensor]:
        parameters = list(self._rest.values())
        total = {name: torch.zeros_like(each, dtype=self._dtype) for name, each in self._rest.items()}
        for row, row_directions in zip(inputs, directions, strict=True):
            logits = self._network(row.unsqueeze(0)).squeeze(0)
            for direction in row_directions:
                found = torch.autograd.grad(logits, parameters, direction, retain_graph=True, materialize_grads=True)
                for name, gradient in zip(total, found, strict=True):
                    total[name] += self._magnitude(gradient.to(self._dtype))
        return total

    def _sums_of_row(self, row: Tensor, directions: Tensor) -> dict[str, Tensor]:
        def logits(rest: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(self._network.module, {**self._fixed, **rest}, (row.unsqueeze(0),))
            return output.squeeze(0)

        pull_back = vjp(logits, {name: each.detach() for name, each in self._rest.items()})[1]
        (gradients,) = vmap(pull_back)(directions)
        return {name: self._magnitude(gradient.to(self._dtype)).sum(dim=0) for name, gradient in gradients.items()}
