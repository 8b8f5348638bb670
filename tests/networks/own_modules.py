"""Modules as a user would write them, named by import path in the tests."""

import torch
from torch import Tensor, nn

from contracts.inputs import InputSpec


class Residual(nn.Module):
    """Normalisation with buffers, a frozen layer, a skip connection; the head is neither first nor last to be made."""

    def __init__(self, n_inputs: int, n_columns: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(n_inputs, 6)
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.classify = nn.Linear(6, n_columns)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.norm(self.frozen(rows.flatten(1)))
        return self.classify(hidden + self.scale * torch.tanh(hidden))


class Centred(nn.Module):
    """Takes off the mean of all rows that it has learned: a buffer that is a normalisation of no known kind."""

    def __init__(self, n_inputs: int, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.classify = nn.Linear(n_inputs, n_columns)

    def forward(self, rows: Tensor) -> Tensor:
        if self.training:
            self.mean += 0.1 * (rows.mean(dim=0) - self.mean)
        return self.classify(rows - self.mean)


class Tied(nn.Module):
    """A head whose weight is another layer's too, so that it cannot grow alone."""

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.first = nn.Linear(4, n_columns)
        self.head = nn.Linear(4, n_columns)
        self.head.weight = self.first.weight

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(rows)


def build(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return Residual(input_spec.row_shape[0], n_columns)


def build_centred(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return Centred(input_spec.row_shape[0], n_columns)


def build_without_bias(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(input_spec.row_shape[0]), nn.Linear(input_spec.row_shape[0], n_columns, bias=False)
    )


def build_tied(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return Tied(n_columns)


def build_headless(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return nn.LayerNorm(4)


def build_doubles(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return nn.Linear(4, n_columns, dtype=torch.float64)


def build_fixed(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return nn.Linear(4, 10)


def build_sequences(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, n_columns))


def build_nothing(input_spec: InputSpec, n_columns: int) -> str:
    return "not a module"


def trained(input_spec: InputSpec, n_columns: int) -> nn.Module:
    module = nn.Linear(input_spec.row_shape[0], 2)
    nn.init.constant_(module.weight, 0.5)
    return module
