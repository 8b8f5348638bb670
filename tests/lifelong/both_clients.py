"""Lets one test ask both clients: the asynchronous one is called as the other is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any

from lifelong.client import AsyncClient, Client


class Awaited:
    """An `AsyncClient` behind the calls of a `Client`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._runner = asyncio.Runner()
        self.client = AsyncClient(*arguments, **named)

    def __enter__(self) -> "Awaited":
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.client.aclose())
        self._runner.close()

    def __repr__(self) -> str:
        return repr(self.client)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            answer = method(*arguments, **named)
            return self._each(answer) if isinstance(answer, AsyncGenerator) else self._run(answer)

        return call

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait())

    def _each(self, answers: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
        try:
            while (answer := self._run(anext(answers, None))) is not None:
                yield answer
        finally:
            self._run(answers.aclose())


KINDS = {"sync": Client, "async": Awaited}
