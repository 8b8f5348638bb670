"""Stored examples → tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from contracts.inputs import InputSpec
from trainer.examples import StoredExample


def decoded(examples: Sequence[StoredExample], spec: InputSpec) -> Tensor:
    """The examples' instances `(n, *row_shape)`, in the type they are stored in."""
    flat = np.frombuffer(b"".join(example.instance for example in examples), dtype=spec.dtype)
    return torch.from_numpy(flat.reshape(len(examples), *spec.row_shape).copy())
