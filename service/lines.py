"""Lines of JSON in, lines of JSON out: one instance each, and a bad one spoils no other."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec

from contracts.answers import RefusedLine, StreamedPrediction
from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidInstance, LifelongError
from contracts.inputs import InputSpec
from service.batches import Predicted, alone
from service.champion import Champion, Serving
from service.composer import Composer, Wish
from service.errors import FAILED

LINES_AT_A_TIME = 256
"""They pass the network together, and are answered by one version."""


class _Worked(NamedTuple):
    """Lines that passed the network together, or why each of them did not."""

    lines: Sequence[bytes]
    outcome: Predicted | LifelongError


class LineAnswers:
    """Answers the lines of one body, as many at a time as pass the network together."""

    def __init__(self, spec: InputSpec, composer: Composer) -> None:
        self._decoder = InstanceDecoder(spec)
        self._compose = composer

    async def __call__(self, body: bytes, options: dict[str, Any], champion: Champion) -> AsyncIterator[bytes]:
        """Lines in the order of the instances; blank ones are passed over.

        A fault of ours is said in a last line and raised.
        """
        wish, decoder = Wish(**options), self._decoder.for_request()
        lines = (line for line in io.BytesIO(body) if line.strip())
        while bunch := list(itertools.islice(lines, LINES_AT_A_TIME)):
            serving = champion.require()
            try:
                worked = await asyncio.to_thread(_work, decoder, bunch, wish.task, serving)
            except Exception:
                yield _refused(FAILED)
                raise
            yield b"".join(self._composed(one, wish, serving) for one in worked)

    def _composed(self, worked: _Worked, wish: Wish, serving: Serving) -> bytes:
        lines, outcome = worked
        if isinstance(outcome, LifelongError):
            return _refused(outcome) * len(lines)
        body = b'{"instances":[%s],"task":%s}' % (b",".join(lines), msgspec.json.encode(wish.task))
        answers = self._compose(serving, outcome, wish, body)
        made = (
            StreamedPrediction(one.prediction_id, one.label, one.probability, answers.version, one.scores)
            for one in answers.predictions
        )
        return b"".join(msgspec.json.encode(line) + b"\n" for line in made)


def _work(decoder: InstanceDecoder, lines: Sequence[bytes], task: str | None, serving: Serving) -> list[_Worked]:
    """The lines in as few passes as their faults allow."""
    try:
        return [_Worked(lines, alone(serving, decoder.batch(lines), task))]
    except InvalidInstance as error:
        if len(lines) == 1:
            return [_Worked(lines, error)]
        return [one for line in lines for one in _work(decoder, [line], task, serving)]
    except LifelongError as error:
        return [_Worked(lines, error)]


def _refused(error: LifelongError) -> bytes:
    return msgspec.json.encode(RefusedLine(error.code, error.detail)) + b"\n"
