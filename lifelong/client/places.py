"""What one asks a service before a model is chosen."""

import time
from typing import Any

import httpx

from lifelong.client.arguments import checked_address, http_options
from lifelong.client.patience import PATIENT, Patience, refusal
from lifelong.errors import RequestRefused, ServiceUnreachable

POLL_SECONDS = 0.1
GLANCE = Patience(attempt_seconds=5.0)


def served_models(address: str, token: str | None = None) -> list[str]:
    """Names of the models that a service hosts; asks once. The token is used as `Client` does.

    Raises:
        InvalidArgument: the address or the token cannot be one.
        RequestRefused: the service wants a token, or another one.
        ServiceUnreachable: nothing usable answers at the address.
    """
    try:
        with httpx.Client(**http_options(checked_address(address), PATIENT, token)) as http:
            answer = http.get("/v1/models")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise refusal(answer)
        models: list[dict[str, Any]] = answer.raise_for_status().json()["models"]
        return [str(model["model"]) for model in models]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise ServiceUnreachable("unreachable", f"no lifelong service answers at {address}") from None


def wait_ready(address: str, timeout_seconds: float, token: str | None = None) -> None:
    """Returns once a service reports that it is ready to answer.

    Raises:
        InvalidArgument: the address or the token cannot be one.
        ServiceUnreachable: it does not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    with httpx.Client(**http_options(checked_address(address), GLANCE, token)) as http:
        while time.monotonic() < deadline:
            if _is_ready(http):
                return
            time.sleep(POLL_SECONDS)
    raise ServiceUnreachable("not_ready", f"{address} was not ready after {timeout_seconds:.0f} s")


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/v2/health/ready").is_success
    except httpx.TransportError:
        return False


def only_model(address: str, token: str | None = None) -> str:
    """The name of the one model that a service hosts.

    Raises:
        RequestRefused: it hosts several, so that one must be named, or as `served_models`.
        InvalidArgument, ServiceUnreachable: as `served_models`.
    """
    names = served_models(address, token)
    if len(names) != 1:
        raise RequestRefused("model_needed", f"name the model: one of {', '.join(names)}", {})
    return names[0]
