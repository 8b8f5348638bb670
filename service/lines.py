"""Lines of JSON in, lines of JSON out: one instance each, and a bad one spoils no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from contracts.answers import RefusedLine, StreamedPrediction
from contracts.errors import InvalidInstance, LifelongError
from contracts.inputs import InputSpec, InstanceDecoder
from service.batches import Predicted
from service.champion import Champion, Serving
from service.composer import Composer, Wish

LINES_AT_A_TIME = 256
"""They pass the network together, and are answered by one version."""


class LineAnswers:
    """Answers the lines of one body, as many at a time as pass the network together."""

    def __init__(self, spec: InputSpec, composer: Composer) -> None:
        self._decoder = InstanceDecoder(spec)
        self._compose = composer

    async def __call__(self, body: bytes, options: dict[str, Any], champion: Champion) -> AsyncIterator[bytes]:
        """Lines in the order of the instances; blank ones are passed over. A fault of ours ends them with its line."""
        wish = Wish(**options)
        lines = [line for line in body.split(b"\n") if line.strip()]
        for start in range(0, len(lines), LINES_AT_A_TIME):
            bunch = lines[start : start + LINES_AT_A_TIME]
            yield await asyncio.to_thread(self._answered, bunch, wish, champion.require())

    def _answered(self, lines: Sequence[bytes], wish: Wish, serving: Serving) -> bytes:
        try:
            return self._predicted(lines, wish, serving)
        except InvalidInstance as error:
            if len(lines) > 1:
                return b"".join(self._answered([line], wish, serving) for line in lines)
            return _refused(error)
        except LifelongError as error:
            return _refused(error) * len(lines)

    def _predicted(self, lines: Sequence[bytes], wish: Wish, serving: Serving) -> bytes:
        rows = self._decoder.batch(lines)
        predicted = Predicted(*serving.predictor.predict(rows, wish.task))
        body = b'{"instances":[%s],"task":%s}' % (b",".join(lines), _json(wish.task))
        answers = self._compose(serving, predicted, wish, body)
        made = (
            StreamedPrediction(one.prediction_id, one.label, one.probability, answers.version, one.scores)
            for one in answers.predictions
        )
        return b"".join(_json(line) + b"\n" for line in made)


def _refused(error: LifelongError) -> bytes:
    return _json(RefusedLine(error.code, error.detail)) + b"\n"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
