"""The token goes with every request, and nowhere else."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from lifelong.client import Client, Patience, only_model, served_models, wait_ready
from lifelong.errors import InvalidArgument, RequestRefused
from tests.lifelong.both_clients import KINDS
from tests.lifelong.scripted import Script

pytestmark = pytest.mark.unit
TOKEN = "s3cret-T0ken"
MODELS = {"models": [{"model": "digits"}]}
UNAUTHENTICATED = {"error": "unauthenticated", "detail": "a bearer token is needed"}


def _status(kind: Any) -> Callable[..., object]:
    def ask(address: str, **options: Any) -> object:
        with kind(address, "digits", Patience(0.0), **options) as client:
            return client.status()

    return ask


def _news(kind: Any) -> Callable[..., object]:
    def ask(address: str, **options: Any) -> object:
        with kind(address, "digits", Patience(0.0), **options) as client:
            return next(client.news())

    return ask


ASKS = [
    *map(_status, KINDS.values()),
    *map(_news, KINDS.values()),
    served_models,
    only_model,
    lambda address, **options: wait_ready(address, 5.0, **options),
]
EVENT = b'data: {"event":"task","time":0.0,"data":{}}\n\n'


def tell(script: Script, ask: Callable[..., object]) -> None:
    if ask in ASKS[2:4]:
        script.say(200, EVENT, Content_Type="text/event-stream")
    else:
        script.say(200, MODELS | {"model": "digits"})


@pytest.mark.parametrize("ask", ASKS)
def test_a_given_token_is_sent(address: str, script: Script, ask: Callable[..., object]) -> None:
    tell(script, ask)
    ask(address, token=TOKEN)
    assert script.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("ask", ASKS)
def test_the_environments_token_is_the_default_and_can_be_left_out(
    address: str, script: Script, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., object]
) -> None:
    tell(script, ask)
    monkeypatch.setenv("LIFELONG_TOKEN", TOKEN)
    ask(address)
    ask(address, token="")
    monkeypatch.delenv("LIFELONG_TOKEN")
    ask(address)
    sent = [asked.headers.get("authorization") for asked in script.requests]
    assert sent == [f"Bearer {TOKEN}", None, None]


@pytest.mark.parametrize("ask", [*ASKS[:4], served_models, only_model])
def test_who_is_not_let_in_hears_why_and_no_token(
    address: str, script: Script, caplog: pytest.LogCaptureFixture, ask: Callable[..., object]
) -> None:
    script.say(401, UNAUTHENTICATED)
    with caplog.at_level(logging.DEBUG), pytest.raises(RequestRefused, match="bearer token is needed") as caught:
        ask(address, token=TOKEN)
    assert caught.value.code == "unauthenticated"
    assert caplog.records
    for shown in (caplog.text, repr(caught.value), repr(vars(caught.value)), repr(caught.value.__context__)):
        assert TOKEN not in shown


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_client_does_not_show_its_token(kind: Any) -> None:
    with kind("http://localhost", "digits", token=TOKEN) as client:
        inner = client if isinstance(client, Client) else client.client
        assert repr(inner) == f"{type(inner).__name__}('http://localhost', 'digits')"
        assert TOKEN not in repr(vars(inner))


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ünicode", "trailing\n"])
@pytest.mark.parametrize("ask", ASKS)
def test_a_token_that_cannot_be_one_is_refused_unsaid(ask: Callable[..., object], token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask("http://127.0.0.1:1", token=token)
    assert caught.value.code == "bad_token"
    assert token not in repr(caught.value)
