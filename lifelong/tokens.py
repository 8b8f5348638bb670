"""The bearer tokens of a configuration: made, listed, revoked; and no open service where others can reach it."""

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import InvalidConfiguration
from lifelong.client.arguments import TOKEN_VARIABLE
from lifelong.errors import BadFile
from lifelong.settings import load_settings
from service import tokens
from service.settings import ServingSettings
from service.tokens import Role, Token, Tokens


def require_guarded(settings: ServingSettings, host: str) -> None:
    """Returns if the service may listen at this address.

    Raises:
        InvalidConfiguration: `tokens_needed`, without tokens others than this machine could call it; `bad_token_file`.
    """
    if settings.tokens is not None:
        Tokens(settings.tokens)
    elif not _is_loopback(host):
        detail = (
            f"without bearer tokens the service listens at a loopback address only, not at {host}; name a file in "
            "service.tokens and make one: lifelong token add CONFIG NAME --role admin"
        )
        raise InvalidConfiguration("tokens_needed", detail)


def add(config: Path, name: str, roles: Sequence[Role]) -> str:
    """Adds a token to the configured file and returns its secret, which can never be shown again.

    Raises:
        InvalidConfiguration: `no_token_file`, the configuration names none; `bad_token_file`.
        BadFile: `token_exists`.
    """
    path = _path(config)
    token, secret = tokens.issue(name, roles)
    with tokens.changing(path) as known:
        if any(one.name == name for one in known):
            raise BadFile("token_exists", f"{path} has a token of this name already; revoke it first")
        known.append(token)
    return secret


def listed(config: Path) -> list[Token]:
    """The tokens of the configured file; raises as `add`."""
    return tokens.read(_path(config))


def revoke(config: Path, name: str) -> None:
    """Removes a token; services refuse it within a second.

    Raises:
        InvalidConfiguration: as `add`.
        BadFile: `unknown_token`.
    """
    path = _path(config)
    with tokens.changing(path) as known:
        kept = [token for token in known if token.name != name]
        if len(kept) == len(known):
            raise BadFile("unknown_token", f"{path} has no token of this name")
        known[:] = kept


def advice(code: str, environment: Mapping[str, str]) -> str:
    """What to do about a service that answered `unauthenticated` or `forbidden` to the environment's token."""
    made = "lifelong token add CONFIG NAME --role ... makes"
    if not environment.get(TOKEN_VARIABLE):
        return f"set {TOKEN_VARIABLE}; {made} a token"
    if code == "forbidden":
        return f"the token in {TOKEN_VARIABLE} lacks that role; {made} one that has it"
    return f"the service does not know the token in {TOKEN_VARIABLE}; {made} another"


def _path(config: Path) -> Path:
    path = load_settings(config).service.tokens
    if path is None:
        raise InvalidConfiguration("no_token_file", f"{config.name}: service.tokens: name a file for the tokens first")
    return path


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
