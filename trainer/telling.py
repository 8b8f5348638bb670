"""What a leader tells as bytes, in pieces that fit into a small object store; read without running what they name."""

import io
from collections.abc import Sequence
from typing import Any

import torch

from contracts.labels import Column
from trainer.batch import Batch

PIECE_BYTES = 8 << 20
"""A sixteenth of the object store that `lifelong up` starts; pieces go through it one after another."""


def in_pieces(arguments: Sequence[Any]) -> list[bytes]:
    """The arguments of a call as bytes, cut into at least one piece of at most `PIECE_BYTES` each."""
    content = io.BytesIO()
    torch.save(arguments, content)
    whole = content.getbuffer()
    return [bytes(whole[start : start + PIECE_BYTES]) for start in range(0, len(whole), PIECE_BYTES)]


def put_together(content: bytes | bytearray) -> Sequence[Any]:
    """The arguments that these bytes, all pieces in order, are of."""
    with torch.serialization.safe_globals([Batch, Column]):
        arguments: Sequence[Any] = torch.load(io.BytesIO(content), weights_only=True)
    return arguments
