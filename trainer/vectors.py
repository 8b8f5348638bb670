"""Vectors laid out like a network's parameters that grow when its head does: optimiser moments, importances."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor

from networks.flat import Layout


class Parameters(Protocol):
    """What an optimiser moves: a network, or anything else with all its parameters in one vector `(P,)`."""

    theta: Tensor
    gradient: Tensor
    layout: Layout

    def expand(self, vector: Tensor, layout: Layout) -> Tensor:
        """A vector laid out by an older layout, in the present one."""
        ...


class FollowingVectors:
    """Named vectors of shape (P,), zero at first and zero for every parameter that came later."""

    def __init__(self, *names: str) -> None:
        self._vectors = {name: torch.empty(0) for name in names}
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout | None:
        """The layout that the vectors have, None before the first `follow`."""
        return self._layout

    def follow(self, network: Parameters) -> None:
        """Brings the vectors to the network's present layout and device."""
        if self._layout is network.layout:
            return
        for name, vector in self._vectors.items():
            if self._layout is None:
                self._vectors[name] = torch.zeros_like(network.theta)
            else:
                self._vectors[name] = network.expand(vector.to(network.theta.device), self._layout)
        self._layout = network.layout

    def __getitem__(self, name: str) -> Tensor:
        """The vector itself, to read or to change in place."""
        return self._vectors[name]

    def state_dict(self) -> dict[str, Any]:
        """Copies of the vectors and the layout they follow; empty before the first `follow`."""
        if self._layout is None:
            return {}
        return {**{name: vector.clone() for name, vector in self._vectors.items()}, "layout": asdict(self._layout)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from saved vectors, which may be of an older layout; where sizes agree, in the same memory."""
        if not state:
            self._layout = None
            return
        for name, vector in self._vectors.items():
            if vector.shape == state[name].shape:
                vector.copy_(state[name])
            else:
                self._vectors[name] = state[name].clone()
        self._layout = layout_from(state["layout"])


def fitting(scratch: Tensor, theta: Tensor) -> Tensor:
    """The scratch vector if it is as long as the parameters and on their device, else a new one with any values."""
    return scratch if scratch.shape == theta.shape and scratch.device == theta.device else torch.empty_like(theta)


def layout_from(document: Mapping[str, Any]) -> Layout:
    """The layout that `dataclasses.asdict` made a document of."""
    shapes = tuple(tuple(shape) for shape in document["shapes"])
    return Layout(tuple(document["names"]), shapes, tuple(document["offsets"]), document["size"])
