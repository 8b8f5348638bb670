"""What predict and feedback requests are answered with: written by the service, read by the client."""

from typing import Any, Literal

import msgspec

Method = Literal["saliency", "integrated_gradients", "smooth_grad"]
"""Of an explanation, as `networks.attribution` says."""


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer; `probability` in 0…1 is the answered label's own."""

    prediction_id: str
    label: str
    probability: float
    scores: dict[str, float] | None = None


class Predictions(msgspec.Struct, frozen=True):
    """The answers to one request, in the order of its instances, and the version that gave them."""

    model: str
    version: int
    predictions: list[Prediction]


class StreamedPrediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one instance of a stream of lines, with the version that gave it."""

    prediction_id: str
    label: str
    probability: float
    version: int
    scores: dict[str, float] | None = None


class RefusedLine(msgspec.Struct, frozen=True):
    """Why one instance of a stream has no prediction; those after it have theirs."""

    error: str
    detail: str = ""


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What each part of an instance adds to the logit of `target`, by one of the explain route's methods.

    `attribution` has the shape of the instance's numbers, is an object of the instance's columns, or has one number for
    each of `tokens`.
    """

    model: str
    version: int
    method: str
    target: str
    attribution: Any
    tokens: list[str] | None = None


class Rejection(msgspec.Struct, frozen=True):
    """Why the event at `index` of a feedback request was not accepted."""

    index: int
    error: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request's events: the accepted ones are on disk.

    `position` is the highest place in the log that holds one of them; `more` counts rejected events not listed.
    """

    accepted: int
    duplicates: int
    rejected: list[Rejection]
    position: int | None = None
    more: int = 0
