"""Squared single-sample gradients of one layer's parameters, from its inputs and the gradients of its outputs.

A Linear layer has Σ_n (∂/∂W)² = (G²)ᵀ(X²), with G the gradients of its outputs and X its inputs, both (samples, …); an
Embedding first adds up a sample's gradients by token, a Conv2d over the places that its kernel visits.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold


class LayerRule(Protocol):
    """One use of one layer by a batch of samples."""

    def take(self, gradient: Tensor) -> None:
        """Squares the parameters' gradients that follow from one gradient of the layer's outputs, and keeps the sum."""
        ...

    def add_to(self, totals: Mapping[Tensor, Tensor]) -> None:
        """Adds, for each parameter, the sum over samples and over all gradients taken to its total."""
        ...


def has_rule(layer: nn.Module) -> bool:
    """Whether there is a rule for a layer; a subclass may compute something else, so it has none."""
    if type(layer) is nn.Embedding:
        return layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) is nn.Linear


def reads_rows(layer: nn.Module, inputs: Tensor, n_rows: int) -> bool:
    """Whether the layer's rule holds for these inputs: one entry for each of the `n_rows` samples, of known rank."""
    known = {nn.Linear: inputs.dim() == 2, nn.Conv2d: inputs.dim() == 4, nn.Embedding: inputs.dim() >= 1}
    return len(inputs) == n_rows and known[type(layer)]


def rule_for(layer: nn.Module, inputs: Tensor, dtype: torch.dtype) -> LayerRule:
    """The rule of a layer that has one, computing in `dtype`."""
    match layer:
        case nn.Linear():
            return _LinearRule(layer, inputs.detach().to(dtype))
        case nn.Conv2d():
            return _Conv2dRule(layer, inputs.detach().to(dtype))
        case nn.Embedding():
            return _EmbeddingRule(layer, inputs, dtype)
    raise TypeError(f"no rule for {type(layer).__name__}")


class _LinearRule:
    def __init__(self, layer: nn.Linear, inputs: Tensor) -> None:
        self._layer = layer
        self._inputs = inputs
        self._energy = inputs.new_zeros(len(inputs), layer.out_features)

    def take(self, gradient: Tensor) -> None:
        gradient = gradient.to(self._energy.dtype)
        self._energy.addcmul_(gradient, gradient)

    def add_to(self, totals: Mapping[Tensor, Tensor]) -> None:
        totals[self._layer.weight].add_(self._energy.T @ self._inputs.square())
        if self._layer.bias is not None:
            totals[self._layer.bias].add_(self._energy.sum(dim=0))


class _Conv2dRule:
    def __init__(self, layer: nn.Conv2d, inputs: Tensor) -> None:
        self._layer = layer
        assert not isinstance(layer.padding, str)
        self._patches = unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride).transpose(1, 2)
        self._weight = inputs.new_zeros(layer.out_channels, self._patches.shape[2])
        self._bias = inputs.new_zeros(layer.out_channels)

    def take(self, gradient: Tensor) -> None:
        flat = gradient.flatten(2).to(self._weight.dtype)
        self._weight += torch.bmm(flat, self._patches).square_().sum(dim=0)
        self._bias += flat.sum(dim=2).square_().sum(dim=0)

    def add_to(self, totals: Mapping[Tensor, Tensor]) -> None:
        totals[self._layer.weight].add_(self._weight.view_as(self._layer.weight))
        if self._layer.bias is not None:
            totals[self._layer.bias].add_(self._bias)


class _EmbeddingRule:
    def __init__(self, layer: nn.Embedding, tokens: Tensor, dtype: torch.dtype) -> None:
        self._layer = layer
        padding = -1 if layer.padding_idx is None else layer.padding_idx
        self._kept = torch.nonzero(tokens.flatten().ne(padding)).squeeze(1)
        samples = torch.arange(len(tokens), device=tokens.device).view(-1, *[1] * (tokens.dim() - 1))
        keys = (samples * layer.num_embeddings + tokens).flatten()[self._kept]
        pairs, self._place = torch.unique(keys, return_inverse=True)
        self._tokens = pairs % layer.num_embeddings
        self._energy = torch.zeros(len(pairs), layer.embedding_dim, dtype=dtype, device=tokens.device)

    def take(self, gradient: Tensor) -> None:
        kept = gradient.reshape(-1, self._layer.embedding_dim)[self._kept].to(self._energy.dtype)
        by_pair = torch.zeros_like(self._energy).index_add_(0, self._place, kept)
        self._energy.addcmul_(by_pair, by_pair)

    def add_to(self, totals: Mapping[Tensor, Tensor]) -> None:
        total = totals[self._layer.weight]
        total.index_add_(0, self._tokens, self._energy.to(total.dtype))
