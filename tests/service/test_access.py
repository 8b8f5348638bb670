"""Bearer tokens: which role opens which route, how tokens come and go, and what never gets in."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from contracts.errors import InvalidConfiguration
from service import tokens
from service.access import ANY_TOKEN, ANYONE, Needing, needs
from service.settings import ServingSettings
from service.tokens import Role, Tokens
from tests.service import inprocess
from tests.service.inprocess import InProcessService, Reply
from tests.service.versions import artifact

pytestmark = pytest.mark.unit
PATIENCE_SECONDS = 60.0
V1, V2 = "/v1/models/{model}", "/v2/models/{model}"
PREDICT, FEEDBACK = needs(Role.PREDICT), needs(Role.FEEDBACK)
OPERATE, ADMIN = needs(Role.OPERATE), needs(Role.ADMIN)
ROUTES: dict[tuple[str, str], Any] = {
    ("GET", "/"): ANYONE,
    ("GET", "/docs"): ANYONE,
    ("GET", "/static/{name}"): ANYONE,
    ("GET", "/v2/health/live"): ANYONE,
    ("GET", "/v2/health/ready"): ANYONE,
    ("GET", "/openapi.json"): ANY_TOKEN,
    ("GET", "/metrics"): ANY_TOKEN,
    ("GET", "/v1/models"): ANY_TOKEN,
    ("GET", V1): ANY_TOKEN,
    ("GET", f"{V1}/matrix"): ANY_TOKEN,
    ("GET", f"{V1}/stream"): ANY_TOKEN,
    ("GET", f"{V1}/versions"): ANY_TOKEN,
    ("GET", f"{V1}/versions/{{version}}"): ANY_TOKEN,
    ("GET", "/v2"): ANY_TOKEN,
    ("GET", V2): ANY_TOKEN,
    ("GET", f"{V2}/ready"): ANY_TOKEN,
    ("GET", f"{V2}/versions/{{version}}"): ANY_TOKEN,
    ("GET", f"{V2}/versions/{{version}}/ready"): ANY_TOKEN,
    ("POST", "/v2/repository/index"): ANY_TOKEN,
    ("POST", f"{V1}/predict"): PREDICT,
    ("POST", f"{V1}/explain"): PREDICT,
    ("POST", f"{V2}/infer"): PREDICT,
    ("POST", f"{V2}/versions/{{version}}/infer"): PREDICT,
    ("POST", f"{V1}/feedback"): FEEDBACK,
    ("POST", f"{V1}/tasks/{{task}}/close"): OPERATE,
    ("POST", f"{V1}/rollback"): OPERATE,
    ("GET", f"{V1}/erasures"): OPERATE,
    ("GET", f"{V1}/erasures/{{erasure}}"): OPERATE,
    ("DELETE", f"{V1}/subjects/{{subject:path}}"): ADMIN,
}
FAST = [f"{V1}/predict", f"{V1}/explain", f"{V1}/feedback", f"{V2}/infer"]
MADE = {role: tokens.issue(role, [role]) for role in Role}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.json"
    tokens.write(file, [token for token, _ in MADE.values()])
    return file


@pytest.fixture
def pets(tmp_path: Path, path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path / "state", settings=ServingSettings(tokens=path)) as service:
        service.promote(artifact(7, weights=b""), 1)
        yield service


def target_of(template: str) -> str:
    named = {"model": "pets", "version": "7", "task": "x", "name": "icon.svg", "erasure": "e1", "subject": "s"}
    return template.replace(":path", "").format(**named)


def call(service: InProcessService, method: str, template: str, authorization: bytes | None) -> Reply:
    target = target_of(template)
    headers = [(b"content-type", b"application/json")]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    return service.request(method, target, [b"{}"], headers)


def bearer(role: Role) -> bytes:
    return f"Bearer {MADE[role][1]}".encode()


def stated(service: InProcessService) -> dict[tuple[str, str], Any]:
    found = {}
    for route in [inner for router in service.framework.routes for inner in router.original_router.routes]:
        assert isinstance(route, APIRoute), f"{route} states no need"
        [need] = [one.call for one in route.dependant.dependencies if isinstance(one.call, Needing)]
        assert route.dependant.dependencies[0].call is need, "something looks at the request before the need is met"
        found |= {(method, route.path): need._need for method in route.methods}
    return found


def test_every_route_states_its_need(pets: InProcessService) -> None:
    assert stated(pets) == ROUTES
    assert {path.replace("pets", "{model}") for path in pets.host.fast_routes()} == set(FAST)


@pytest.mark.parametrize(("method", "template"), [key for key in ROUTES if key[1] != f"{V1}/stream"])
def test_a_route_opens_to_its_roles_alone(pets: InProcessService, method: str, template: str) -> None:
    need = ROUTES[method, template]
    missing = call(pets, method, template, None)
    assert (missing.status == 401) == (need is not None)
    for role in Role:
        reply = call(pets, method, template, bearer(role))
        assert (reply.status in {401, 403}) == (need is not None and role not in need), reply.body
    if need is not None:
        assert missing.document["error"] == "unauthenticated"
        assert missing.headers["www-authenticate"] == "Bearer"


def test_the_stream_needs_a_token(pets: InProcessService) -> None:
    assert call(pets, "GET", f"{V1}/stream", None).status == 401


def test_a_stream_ends_with_its_token(pets: InProcessService, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr("service.hub.POLL_SECONDS", 0.01)

    async def watched_until_revoked() -> Reply:
        begun, headers = asyncio.Event(), [(b"authorization", bearer(Role.PREDICT))]
        stream = inprocess.call(pets.app, "GET", "/v1/models/pets/stream", [b""], headers, begun)
        watching = asyncio.create_task(stream)
        await begun.wait()
        tokens.write(path, [token for role, (token, _) in MADE.items() if role != Role.PREDICT])
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await watching

    assert pets.run(watched_until_revoked()).status == 200


def test_an_unknown_model_is_not_told_to_strangers(pets: InProcessService) -> None:
    for target in ("/v1/models/cars", "/v2/models/cars"):
        assert pets.get(target).status == 401
        assert pets.get(target, [(b"authorization", bearer(Role.PREDICT))]).status == 404


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Basic " + MADE[Role.ADMIN][1].encode(),
        MADE[Role.ADMIN][1].encode(),
        bearer(Role.ADMIN) + b"\0",
        bearer(Role.ADMIN)[:-1],
        b"Bearer " + b"x" * 100_000,
        b"Bearer " + MADE[Role.ADMIN][0].sha256.encode(),
    ],
    ids=["nothing", "scheme", "scheme and blank", "unknown", "basic", "bare", "NUL", "cut", "long", "its digest"],
)
@pytest.mark.parametrize("template", [f"{V1}/predict", f"{V1}/rollback"])
def test_what_is_no_known_token_stays_out(pets: InProcessService, template: str, authorization: bytes) -> None:
    reply = call(pets, "POST", template, authorization)
    assert (reply.status, reply.document["error"]) == (401, "unauthenticated")
    assert len(reply.body) < 300


def test_two_tokens_are_none(pets: InProcessService) -> None:
    headers = [(b"authorization", bearer(Role.ADMIN)), (b"authorization", bearer(Role.ADMIN))]
    assert pets.request("GET", "/v1/models", [b""], headers).status == 401


def test_any_case_of_the_scheme_goes(pets: InProcessService) -> None:
    header = bearer(Role.PREDICT).replace(b"Bearer", b"bEARER")
    assert call(pets, "GET", "/v1/models", header).status == 200


def test_the_document_says_what_needs_a_token(pets: InProcessService) -> None:
    document = pets.get("/openapi.json", [(b"authorization", bearer(Role.PREDICT))]).document
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for (method, path), need in ROUTES.items():
        if path in document["paths"]:
            operation = document["paths"][path][method.lower()]
            assert ("security" in operation) == (need is not None)
            assert ({"401", "403"} <= operation["responses"].keys()) == (need is not None)


def test_without_tokens_the_document_names_none_but_what_strangers_are_refused_with(tmp_path: Path) -> None:
    with InProcessService(tmp_path) as service:
        document = service.get("/openapi.json").document
    for (method, path), need in ROUTES.items():
        if path in document["paths"]:
            operation = document["paths"][path][method.lower()]
            assert "security" not in operation
            assert ("421" in operation["responses"]) == (need is not None)
            assert ("403" in operation["responses"]) == (need in (PREDICT, FEEDBACK, OPERATE, ADMIN))


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
def test_another_sites_page_cannot_use_an_open_service(tmp_path: Path, site: bytes) -> None:
    with InProcessService(tmp_path) as service:
        service.promote(artifact(7, weights=b""), 1)
        for (method, template), need in ROUTES.items():
            target = target_of(template)
            if target.endswith("/stream"):
                continue
            status = service.request(method, target, [b""], [(b"sec-fetch-site", site)]).status
            assert (status == 403) == (need in (PREDICT, FEEDBACK, OPERATE, ADMIN))
        own = service.request("POST", "/v1/models/pets/rollback", [b""], [(b"sec-fetch-site", b"same-origin")])
        assert own.status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [(b"http://evil.example", 403), (b"null", 403), (b"http://127.0.0.1:8000", 200), (b"http://localhost:8000", 200)],
)
def test_an_open_service_is_for_pages_of_this_machine(tmp_path: Path, origin: bytes, status: int) -> None:
    with InProcessService(tmp_path) as service:
        found = service.request("POST", "/v1/models/pets/rollback", [b""], [(b"origin", origin)]).status
    assert found == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LocalHost:8000", 200),
        (b"127.0.0.1:8000", 200),
        (b"[::1]:8000", 200),
        (b"evil.example", 421),
        (b"evil.example:8000", 421),
        (b"127.0.0.1.evil.example", 421),
        (b"localhost.evil.example", 421),
        (b"10.0.0.1:8000", 421),
        (b"", 421),
    ],
)
def test_an_open_service_answers_to_no_other_name(tmp_path: Path, host: bytes, status: int) -> None:
    with InProcessService(tmp_path) as service:
        service.promote(artifact(7, weights=b""), 1)
        headers = [(b"host", host), (b"content-type", b"application/json")]
        asked = [
            service.request("GET", "/v1/models/pets/matrix", [b""], headers),
            service.request("POST", "/v1/models/pets/predict", [b'{"instances":[[1,2,3,4]]}'], headers),
        ]
    assert [reply.status for reply in asked] == [status, status]
    assert {reply.document.get("error") for reply in asked} == {None if status == 200 else "unknown_host"}


def test_with_tokens_a_service_has_any_name(pets: InProcessService) -> None:
    headers = [(b"host", b"models.example"), (b"authorization", bearer(Role.PREDICT))]
    assert pets.get("/v1/models", headers).status == 200


def test_tokens_come_and_go_while_the_service_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    subject = Tokens(path)
    known = [token for token, _ in MADE.values()]
    added, secret = tokens.issue("new", [Role.PREDICT, Role.FEEDBACK])
    assert subject.roles(secret.encode()) is None
    tokens.write(path, [*known, added])
    assert subject.roles(secret.encode()) == {Role.PREDICT, Role.FEEDBACK}
    tokens.write(path, known)
    assert subject.roles(secret.encode()) is None


@pytest.mark.parametrize("damage", ["garbage", "gone", "open"])
def test_a_damaged_file_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    subject = Tokens(path)
    secret = MADE[Role.ADMIN][1].encode()
    match damage:
        case "garbage":
            path.write_text("{")
        case "gone":
            path.unlink()
        case "open":
            path.write_text('{"tokens":[]}')
            path.chmod(0o644)
    assert subject.roles(secret) == {Role.ADMIN}
    if damage == "open":
        path.chmod(0o600)
        assert subject.roles(secret) is None


def test_a_secret_is_kept_nowhere(path: Path) -> None:
    content = path.read_text()
    assert all(secret not in content for _, secret in MADE.values())
    assert len({secret for _, secret in MADE.values()}) == len(Role)
    assert all(len(secret) > 40 for _, secret in MADE.values())
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", '{"tokens":[]}', '{"tokens":[{"name":"x"}]}', '{"tokens":[],"more":1}'])
def test_a_service_does_not_start_without_usable_tokens(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(InvalidConfiguration):
        Tokens(path)


def test_a_file_that_everybody_can_read_is_refused(path: Path) -> None:
    os.chmod(path, 0o644)  # noqa: PTH101
    with pytest.raises(InvalidConfiguration, match="chmod 600"):
        Tokens(path)
