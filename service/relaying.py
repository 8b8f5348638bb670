"""What the trainer answers to an order, as an HTTP answer."""

import msgspec
from fastapi.responses import Response

from service.asking import json_answer
from service.errors import RequestFault


class TrainerRefusal(msgspec.Struct):
    """How the trainer says no."""

    error: str | None = None
    detail: str = ""


def relayed(answer: bytes) -> Response:
    """The trainer's document.

    Raises:
        RequestFault: its refusal.
    """
    refusal = msgspec.json.decode(answer, type=TrainerRefusal)
    if refusal.error is not None:
        raise RequestFault(refusal.error, refusal.detail)
    return json_answer(answer)
