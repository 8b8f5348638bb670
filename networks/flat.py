"""A network whose parameters are views of one flat tensor and whose gradients are views of another."""

import copy
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from contracts.errors import InvalidArtifact, InvalidConfiguration
from contracts.labels import Column
from contracts.status import Capacity


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in a flat vector of `size` numbers: parameter i fills `shapes[i]` from `offsets[i]`."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, Tensor]]) -> "Layout":
        """Lays named tensors out one after another, in the given order and without gaps."""
        named = [(name, tuple(tensor.shape)) for name, tensor in parameters]
        ends = list(itertools.accumulate((math.prod(shape) for _, shape in named), initial=0))
        return cls(tuple(name for name, _ in named), tuple(shape for _, shape in named), tuple(ends[:-1]), ends[-1])

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The parts of a vector `(size,)` by parameter name, in the parameters' shapes; nothing is copied."""
        places = zip(self.names, self.shapes, self.offsets, strict=True)
        return {name: vector[start : start + math.prod(shape)].view(shape) for name, shape, start in places}


class Network:
    """A torch module with a growing head, seen as one vector of parameters.

    `theta` `(P,)` holds every trainable parameter and `gradient` `(P,)` its gradient, both laid out by `layout`;
    `loss.backward()` adds to `gradient`, so zero it with `gradient.zero_()` and never set a parameter's `grad` to None.
    `grow` replaces `theta`, `gradient` and `layout`: fetch them anew, and carry other vectors over with `expand`.
    """

    module: nn.Module
    theta: Tensor
    gradient: Tensor
    layout: Layout
    columns: list[Column]
    _precision: torch.dtype = torch.float32

    def __init__(
        self,
        module: nn.Module,
        columns: Sequence[Column],
        seed: int,
        device: torch.device | str,
        keeps_head: bool = False,
    ) -> None:
        """Takes the module over.

        With `keeps_head` the rows of its head stay as they are, those of a classifier that was trained before, and are
        the first columns. All other rows are drawn anew.

        Raises:
            InvalidConfiguration: `bad_module` for a module without a head, with a shared head, or not in float32.
        """
        self.module = module.to(device)
        self._seed = seed
        self._device = torch.device(device)
        self._head = find_head(self.module)
        rows = self._head.out_features if keeps_head else 0
        self.columns = list(columns[:rows])
        cut_head(self._head, len(self.columns))
        self._append(columns[len(self.columns) :])
        self._flatten()

    def __call__(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Logits `(batch, len(columns))` of encoded instances `(batch, *row_shape)`; bytes are scaled to 0…1.

        With `targets` `(batch,)`, for each row a column of its task, only the outputs of that task need be right: what
        a network that keeps tasks apart can save.
        """
        is_reduced = self._precision != torch.float32
        with torch.autocast(self._device.type, self._precision, enabled=is_reduced):
            return self._logits(inputs, targets).float()

    def grow(self, columns: Sequence[Column]) -> None:
        """Appends outputs to the head and zeroes the gradient; outputs that were there keep their bits.

        The row of column i is drawn, as `nn.Linear` draws it, from a generator of its own seeded by (seed, i): it
        depends neither on when the column came nor on what else drew numbers.

        Raises:
            ValueError: for a column that is there already.
        """
        if columns:
            self._append(columns)
            self._flatten()

    def features(self, inputs: Tensor) -> Tensor:
        """What the head reads of encoded instances, `(batch, features)`."""
        read: list[Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            self(inputs)
        finally:
            hook.remove()
        return read[0]

    def with_head(self, weight: Tensor) -> "Network":
        """A copy of this network whose scores are `features · weightᵀ`, for a weight of shape `(columns, features)`."""
        module = copy.deepcopy(self.module)
        head = find_head(module)
        head.weight.data.copy_(weight)
        if head.bias is not None:
            head.bias.data.zero_()
        return Network(module, self.columns, self._seed, self.theta.device, keeps_head=True)

    def expand(self, vector: Tensor, layout: Layout) -> Tensor:
        """A vector laid out by an older layout of this network, in the present one: zero for what is new.

        What no longer is in `theta` is left out.

        Raises:
            ValueError: if the layout is not an older one of this network.
        """
        if layout == self.layout:
            return vector
        if vector.shape != (layout.size,) or not self.tensors().keys() >= set(layout.names):
            raise ValueError("the vector is not laid out by an older layout of this network")
        expanded = vector.new_zeros(self.layout.size)
        places = self.layout.views(expanded)
        for name, part in layout.views(vector).items():
            if name in places:
                place = places[name]
                (place if place.shape == part.shape else place[: len(part)]).copy_(part)
        return expanded

    @contextmanager
    def computing_in(self, precision: torch.dtype) -> Iterator[None]:
        """Inside, products of matrices are computed in this type.

        Logits, parameters and gradients stay float32.
        """
        before, self._precision = self._precision, precision
        try:
            yield
        finally:
            self._precision = before

    @property
    def task_mask(self) -> Tensor | None:
        """Which columns compete, as booleans `(columns, columns)`: `[c, d]` says whether c and d are of the same task.

        So `task_mask[targets]` `(batch, columns)` holds for each row the outputs of its own task. None outside the task
        scenario, where all compete.
        """
        return self._task_mask

    def tensors(self) -> dict[str, Tensor]:
        """Everything that makes this network's answers: parameters and persistent buffers by name, not copied."""
        named = itertools.chain(self.module.named_parameters(), self.module.named_buffers())
        kept = {name for name, _ in named}
        return {name: tensor for name, tensor in self.module.state_dict().items() if name in kept}

    def capacity(self) -> Capacity:
        """How many parameters there are, and whose they are."""
        return Capacity(total=sum(parameter.numel() for parameter in self.module.parameters()))

    def weights(self) -> bytes:
        """The content of `weights.safetensors`: the same bytes for the same parameters and buffers."""
        return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in self.tensors().items()})

    def load_weights(self, content: bytes) -> None:
        """Takes over what `weights` wrote for a network of the same specification and columns; all or nothing.

        Raises:
            InvalidArtifact: `bad_weights` if the names, shapes or types are not this network's, or `non_finite`.
        """
        try:
            loaded: dict[str, Tensor] = safetensors.torch.load(content)
        except SafetensorError:
            raise InvalidArtifact("bad_weights", "the weights are not a safetensors file") from None
        own = self.tensors()
        if _kinds(loaded) != _kinds(own):
            raise InvalidArtifact("bad_weights", "the weights are not those of the network that model.json describes")
        if not all(bool(tensor.isfinite().all()) for tensor in loaded.values()):
            raise InvalidArtifact("non_finite", "the weights hold a number that is not finite")
        self.load_tensors(loaded)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over the values of `tensors()` of a network of the same specification and columns."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])

    def _logits(self, inputs: Tensor, targets: Tensor | None) -> Tensor:  # noqa: ARG002
        logits: Tensor = self.module(scaled(inputs))
        return logits

    def _append(self, columns: Sequence[Column]) -> None:
        if len(set(self.columns).union(columns)) < len(self.columns) + len(columns):
            raise ValueError("a column can be added only once")
        if columns:
            self._add_outputs(columns)
            self.columns.extend(columns)

    def _add_outputs(self, columns: Sequence[Column]) -> None:
        self._add_rows(self._head, range(len(self.columns), len(self.columns) + len(columns)))

    def _add_rows(self, head: nn.Linear, indices: Iterable[int]) -> None:
        """Appends the rows of these columns to a head."""
        rows = torch.stack([self._draw_row(index, head.in_features) for index in indices]).to(self._device)
        if head.bias is not None:
            head.bias = nn.Parameter(torch.cat([head.bias.data, rows[:, -1]]), head.bias.requires_grad)
        weight = torch.cat([head.weight.data, rows[:, : head.in_features]])
        head.weight = nn.Parameter(weight, head.weight.requires_grad)
        head.out_features = len(head.weight)

    def _draw_row(self, index: int, n_features: int) -> Tensor:
        digest = hashlib.blake2b(f"{self._seed}:{index}".encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
        bound = n_features**-0.5
        return torch.empty(n_features + 1).uniform_(-bound, bound, generator=generator)

    def _flatten(self) -> None:
        parameters = [(name, each) for name, each in self.module.named_parameters() if each.requires_grad]
        self.layout = Layout.of(parameters)
        self.theta = torch.empty(self.layout.size, device=self._device)
        self.gradient = torch.zeros_like(self.theta)
        self._task_mask = _same_task(self.columns, self.theta.device)
        values, gradients = self.layout.views(self.theta), self.layout.views(self.gradient)
        for name, parameter in parameters:
            values[name].copy_(parameter.data)
            parameter.grad = None
            parameter.data = values[name]
            parameter.grad = gradients[name]


def _same_task(columns: Sequence[Column], device: torch.device) -> Tensor | None:
    tasks = [column.task for column in columns]
    if all(task is None for task in tasks):
        return None
    numbers = {task: number for number, task in enumerate(dict.fromkeys(tasks))}
    of_column = torch.tensor([numbers[task] for task in tasks], device=device)
    return of_column[:, None] == of_column[None, :]


def scaled(inputs: Tensor) -> Tensor:
    """Encoded instances as modules read them: bytes become float32 in 0…1, all else stays as it is."""
    return inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs


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


def find_head(module: nn.Module) -> nn.Linear:
    """The layer whose rows are the outputs: the module's last `nn.Linear`.

    Raises:
        InvalidConfiguration: `bad_module` for a module without a head, with a shared head, or not in float32.
    """
    heads = [(name, each) for name, each in module.named_modules() if isinstance(each, nn.Linear)]
    if not heads:
        raise InvalidConfiguration("bad_module", "the network has no nn.Linear that could be its head")
    name, head = heads[-1]
    owners = [each for _, each in module.named_parameters(remove_duplicate=False) if each is head.weight]
    if len(owners) > 1 or not head.weight.requires_grad:
        raise InvalidConfiguration("bad_module", f"the head {name} must be trainable and share its weight with no one")
    wrong = [key for key, each in module.named_parameters() if each.dtype != torch.float32]
    if wrong:
        raise InvalidConfiguration("bad_module", f"every parameter must be float32, but {wrong[0]} is not")
    return head


def cut_head(head: nn.Linear, rows: int) -> None:
    """Leaves only the first outputs of a head."""
    head.weight = nn.Parameter(head.weight.data[:rows])
    if head.bias is not None:
        head.bias = nn.Parameter(head.bias.data[:rows])
    head.out_features = rows


def _kinds(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
