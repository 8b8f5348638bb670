"""A user's own modules with a fault, named by import path in the tests."""

from torch import Tensor, nn

from contracts.inputs import InputSpec


class FailsAfter(nn.Linear):
    """Answers a few times, and then no more."""

    def __init__(self, n_inputs: int, n_columns: int, n_answers: int) -> None:
        super().__init__(n_inputs, n_columns)
        self._n_answers = n_answers

    def forward(self, rows: Tensor) -> Tensor:
        self._n_answers -= 1
        if self._n_answers < 0:
            raise ZeroDivisionError
        return super().forward(rows)


def build_failing(input_spec: InputSpec, n_columns: int) -> nn.Module:
    raise ZeroDivisionError


def build_failing_late(input_spec: InputSpec, n_columns: int) -> nn.Module:
    return FailsAfter(input_spec.row_shape[0], n_columns, n_answers=1)
