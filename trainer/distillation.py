"""Distillation: a network as it once was, and how far another one's answers are from what it would answer."""

import copy
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, one_hot

from networks.flat import Layout, Network
from trainer.states import State, join, part_of
from trainer.vectors import layout_from


class Teacher:
    """A network as it was when it was last captured: its parameters as one vector, and its buffers."""

    def __init__(self) -> None:
        self._theta = torch.empty(0)
        self._layout: Layout | None = None
        self._buffers: dict[str, Tensor] = {}
        self._module: nn.Module | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is anything to ask."""
        return self._layout is not None

    def capture(self, network: Network) -> None:
        """Takes the network as it is now."""
        self._theta, self._layout = network.theta.clone(), network.layout
        self._buffers = {name: buffer.clone() for name, buffer in network.module.named_buffers()}
        self._module = None

    def __call__(self, network: Network, inputs: Tensor) -> Tensor:
        """The captured network's logits `(batch, columns of then)` in evaluation mode, without a gradient.

        `network` is the one that was captured, whatever has become of it; it lends its architecture only.

        Raises:
            LookupError: nothing was captured yet.
        """
        if self._layout is None:
            raise LookupError("no network was captured")
        if self._module is None or self._theta.device != network.theta.device:
            self._module = self._rebuilt(network, self._layout)
        lent = copy.copy(network)
        lent.module = self._module
        with torch.no_grad():
            return lent(inputs)

    def state_dict(self) -> State:
        """Copies of the parameters and the buffers; empty before the first capture."""
        if self._layout is None:
            return {}
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        return {"theta": self._theta.clone(), "layout": asdict(self._layout), **join({"buffers": buffers})}

    def load_state_dict(self, state: State) -> None:
        """Becomes the teacher that was saved."""
        self._theta, self._layout, self._buffers, self._module = torch.empty(0), None, {}, None
        if state:
            self._theta, self._layout = state["theta"].clone(), layout_from(state["layout"])
            self._buffers = {name: buffer.clone() for name, buffer in part_of(state, "buffers").items()}

    def _rebuilt(self, network: Network, layout: Layout) -> nn.Module:
        """A module of the network's kind, on its device, that holds what was captured and shares what is frozen."""
        self._theta = self._theta.to(network.theta.device)
        self._buffers = {name: buffer.to(self._theta.device) for name, buffer in self._buffers.items()}
        frozen = {id(each): each for each in network.module.parameters() if not each.requires_grad}
        module = copy.deepcopy(network.module, frozen).eval()
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        for name, values in layout.views(self._theta).items():
            parameters[name].data = values
        for name, buffer in self._buffers.items():
            buffers[name].data = buffer
        return module


def head_numbers(network: Network) -> Tensor:
    """Which task's head each column belongs to `(columns,)`, counted from 0; all to head 0 outside the task scenario.

    Heads are numbered in the order of their first columns.
    """
    if network.task_mask is None:
        return torch.zeros(len(network.columns), dtype=torch.int64, device=network.theta.device)
    first_of_head = network.task_mask.int().argmax(dim=1)
    is_first = first_of_head == torch.arange(len(first_of_head), device=first_of_head.device)
    return (is_first.cumsum(dim=0) - 1)[first_of_head]


def divergence(network: Network, logits: Tensor, targets: Tensor, temperature: float, new_columns: bool) -> Tensor:
    """T² KL(p ‖ q) in nats ≥ 0 for each row and head `(batch, heads)`, T = `temperature`.

    p = softmax(targets / T) is what the teacher answers and q = softmax(logits / T), among the columns of each head
    that the teacher had. With `new_columns` those that its heads gained since compete in q, too, and are 0 in p.
    (Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, 2015; T² keeps the gradient's size.)

    Cut at zero, where it has no slope, value and gradient vanish exactly where the answers are the same.
    """
    known = targets.shape[1]
    if network.task_mask is None:
        answers = logits if new_columns else logits[:, :known]
        log_p, log_q = ((each / temperature).log_softmax(dim=1) for each in (targets, answers))
        terms = kl_div(log_q[:, :known], log_p, reduction="none", log_target=True)
        return terms.sum(dim=1, keepdim=True).clamp(min=0) * temperature**2
    all_heads = head_numbers(network)
    n_heads = int(all_heads[:known].max()) + 1
    columns = (all_heads < n_heads).nonzero().squeeze(1) if new_columns else torch.arange(known, device=logits.device)
    heads = one_hot(all_heads[columns], n_heads).to(logits.dtype)
    log_p = _log_softmax(targets / temperature, heads[:known])
    log_q = _log_softmax(logits[:, columns] / temperature, heads)
    terms = log_p.exp() * (log_p - log_q[:, :known])
    return (terms @ heads[:known]).clamp(min=0) * temperature**2


def _log_softmax(logits: Tensor, heads: Tensor) -> Tensor:
    """Log-probabilities `(batch, columns)` among the columns of each head, for `heads` one-hot `(columns, heads)`."""
    numbers = heads.argmax(dim=1).expand_as(logits)
    lowest = logits.new_full((len(logits), heads.shape[1]), -torch.inf)
    top = lowest.scatter_reduce(1, numbers, logits.detach(), "amax")
    shifted = logits - top.gather(1, numbers)
    return shifted - (shifted.exp() @ heads).log() @ heads.T
