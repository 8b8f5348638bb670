"""Builds a network from its specification, the same on the learning and on the answering side."""

import importlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from contracts.errors import InvalidArtifact, InvalidConfiguration
from contracts.inputs import ImageInput, InputSpec, StoryInput, TabularInput, TensorInput, TextInput, parse_input
from contracts.labels import Column
from contracts.versions import ModelDocument
from networks.architectures import Convolutional, Mlp, Text
from networks.flat import Network, evaluating, find_head, scaled
from networks.memory import MemoryNetwork
from networks.per_task import TaskNetwork
from networks.settings import (
    Architecture,
    ConvSpec,
    ImportedSpec,
    MemorySpec,
    MlpSpec,
    NetworkSpec,
    PerTaskSpec,
    TextSpec,
    check_fits,
    configured,
    parse_architecture,
)
from networks.task_modules import LateralColumn, Packed, Progressive, Separate, TaskModule

TASK_STRIDE = 0x9E3779B97F4A7C15
"""Keeps the modules of a seed's tasks apart from those of other seeds."""


def build(
    spec: Architecture, input_spec: InputSpec, columns: Sequence[Column], seed: int, device: str = "cpu"
) -> Network:
    """A network with one output for each column, freshly initialised or, of the user's own module, as it comes.

    The same arguments give the same bits on every device, and torch's global generator is left as it was.

    Raises:
        InvalidConfiguration: `network_mismatch`, or `bad_import` and `bad_module` for the user's own module.
    """
    check_fits(configured(spec), input_spec)
    if isinstance(spec, PerTaskSpec):
        if isinstance(input_spec, TabularInput) and input_spec.fitted_places:
            detail = "a column that is fitted belongs to all tasks, but these strategies keep tasks apart: scale it"
            raise InvalidConfiguration("network_mismatch", f"input.columns: {detail}")
        return TaskNetwork(_task_module(spec, input_spec, seed), columns, seed, device)
    module = _drawn(spec, input_spec, max(len(columns), 1), seed)
    keeps_head = isinstance(spec, ImportedSpec) and bool(columns)
    return Network(module, columns, seed, device, keeps_head)


def from_document(document: ModelDocument, weights: bytes, device: str = "cpu") -> Network:
    """The network of a version, rebuilt from its `model.json` and `weights.safetensors`.

    Raises:
        InvalidArtifact: `bad_document`, `bad_weights` or `non_finite`.
        InvalidConfiguration: `bad_import` or `bad_module` if the user's own module is not what it was.
    """
    try:
        spec, input_spec = parse_architecture(document.network), parse_input(document.input)
    except ValidationError:
        raise InvalidArtifact("bad_document", "model.json describes no network that this release knows") from None
    network = build(spec, input_spec, document.columns, document.seed, device)
    network.load_weights(weights)
    return network


def _task_module(spec: PerTaskSpec, input_spec: InputSpec, seed: int) -> TaskModule:
    match spec.sharing, spec.of:
        case "packed", _:
            return Packed(_drawn(spec.of, input_spec, 1, seed))
        case "progressive", MlpSpec() as layers:
            n_inputs = math.prod(input_spec.row_shape)
            return Progressive(lambda task: _seeded(lambda: LateralColumn(layers, n_inputs, task), seed, task))
        case _:
            return Separate(lambda task: _drawn(spec.of, input_spec, 1, seed, task))


def _drawn(spec: NetworkSpec, input_spec: InputSpec, n_columns: int, seed: int, task: int = 0) -> nn.Module:
    return _seeded(lambda: _module(spec, input_spec, n_columns), seed, task)


def _seeded(make: Callable[[], nn.Module], seed: int, task: int) -> nn.Module:
    """A module drawn from the seed, for each task another one, with torch's global generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed((seed + TASK_STRIDE * task) % 2**63)
        return make()


def _module(spec: NetworkSpec, input_spec: InputSpec, n_columns: int) -> nn.Module:
    match spec, input_spec:
        case ConvSpec(), TensorInput() | ImageInput():
            return Convolutional(spec, input_spec.shape)
        case TextSpec(), TextInput():
            return Text(spec, input_spec.buckets)
        case MemorySpec(), StoryInput():
            return MemoryNetwork(spec, input_spec.n_tokens, input_spec.sentences)
        case MlpSpec(), TabularInput():
            return Mlp(spec, input_spec.row_shape[0], input_spec.fitted_places)
        case MlpSpec(), _:
            return Mlp(spec, math.prod(input_spec.row_shape))
        case ImportedSpec(), _:
            return _imported(spec.import_path, input_spec, n_columns)
    raise InvalidConfiguration("network_mismatch", "the network does not read such instances")


def _imported(path: str, input_spec: InputSpec, n_columns: int) -> nn.Module:
    place, name = path.split(":")
    try:
        make = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError) as error:
        raise InvalidConfiguration("bad_import", f"network.import: {path}: {error}") from None
    try:
        module = make(input_spec, n_columns) if callable(make) else None
    except Exception as error:  # the module is the user's: it may raise anything
        raise InvalidConfiguration("bad_import", f"network.import: {path}: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise InvalidConfiguration("bad_import", f"network.import: {path}: must return a torch.nn.Module")
    _check_outputs(module, input_spec, n_columns, path)
    return module


def _check_outputs(module: nn.Module, input_spec: InputSpec, n_columns: int, path: str) -> None:
    n_outputs = find_head(module).out_features
    rows = torch.from_numpy(np.zeros((2, *input_spec.row_shape), input_spec.dtype))
    with evaluating(module), torch.no_grad():
        shape = tuple(module(scaled(rows)).shape)
    if n_outputs > n_columns or shape != (2, n_outputs):
        raise InvalidConfiguration(
            "bad_module",
            f"network.import: {path}: for {n_columns} columns the last nn.Linear may have as many outputs, not "
            f"{n_outputs}, and 2 rows must give the shape {(2, n_outputs)}, not {shape}; the labels of a head that was "
            "trained before are named by labels.names",
        )
