"""The application under Ray Serve with two replicas: swaps, crashes, counters, limits, over real HTTP."""

import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
import safetensors.numpy

from tests.driver import driven
from tests.service.driven import BODY, FEEDBACK, PATIENCE_SECONDS, PREDICT, Service, Traffic, kill_one, wait_for_metric
from tests.service.versions import artifact

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with driven(Service) as running:
        yield running


def test_a_new_model_is_ready_and_untrained(service: Service) -> None:
    assert service.http.get("/v2/health/ready").status_code == 200
    answer = service.http.post(PREDICT, json=BODY)
    assert (answer.status_code, answer.json()["error"]) == (409, "untrained")


def test_every_replica_follows_and_no_request_fails(service: Service) -> None:
    first = service.promote()
    with Traffic(service) as traffic:
        last = [service.promote() for _ in range(5)][-1]
        traffic.go_on()
    assert set(traffic.statuses) == {200}
    assert set(traffic.versions) <= set(range(first, last + 1))
    assert {service.http.post(PREDICT, json=BODY).json()["version"] for _ in range(20)} == {last}


def test_a_version_that_is_not_finite_is_never_served(service: Service) -> None:
    good = service.promote()
    tensors = safetensors.numpy.load(artifact(good).weights)
    next(iter(tensors.values())).flat[0] = float("nan")
    bad = next(service.versions)
    with Traffic(service) as traffic:
        service.tell("announce", bad, bad, safetensors.numpy.save(tensors).hex())
        status = service.wait(lambda status: status["refused"] and status["refused"]["generation"] == bad)
        traffic.go_on()
    assert status["replicas"]["serving"] == 0
    assert set(traffic.statuses) == {200}
    assert set(traffic.versions) == {good}
    service.promote()


def test_feedback_is_joined_whichever_replica_predicted(service: Service) -> None:
    service.promote()
    for _ in range(20):
        with service.client() as one, service.client() as other:
            (prediction,) = one.post(PREDICT, json=BODY).json()["predictions"]
            named = {"prediction_id": prediction["prediction_id"], "label": "cat"}
            answer = other.post(FEEDBACK, json={"events": [named]})
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1), answer.text


def test_the_trainer_is_asked_and_its_refusal_relayed(service: Service) -> None:
    assert service.http.post("/v1/models/pets/tasks/toys/close").json() == {"closed": "toys"}
    assert service.http.post("/v1/models/pets/rollback", json={"version": 3}).json() == {"version": 3}
    refused = service.http.post("/v1/models/pets/tasks/unheard/close")
    assert (refused.status_code, refused.json()["error"]) == (404, "unknown_task")


def test_counters_are_those_of_all_replicas_and_survive_one(service: Service) -> None:
    version = service.promote()
    for _ in range(40):
        with service.client() as client:
            assert client.post(PREDICT, json=BODY).status_code == 200
    series = f'lifelong_predictions_total{{model="pets",version="{version}"}} 40.0'
    wait_for_metric(service, series)
    kill_one(service, "ServeReplica")
    service.wait(lambda status: status["replicas"] == {"serving": 2, "behind": 0})
    assert series in service.get("/metrics").text


def test_a_killed_replica_costs_no_answer(service: Service) -> None:
    service.promote()
    with Traffic(service) as traffic:
        kill_one(service, "ServeReplica")
        service.wait(lambda status: status["replicas"] == {"serving": 1, "behind": 0})
        service.wait(lambda status: status["replicas"] == {"serving": 2, "behind": 0})
    assert set(traffic.statuses) == {200}
    assert service.promote() in {service.http.post(PREDICT, json=BODY).json()["version"]}


def test_serving_goes_on_without_the_hub_and_follows_the_next_one(service: Service) -> None:
    version = service.promote()
    with Traffic(service) as traffic:
        kill_one(service, "Hub")
        service.wait(lambda status: status["version"] == 0)  # the new hub knows nothing yet
        traffic.go_on()
        last = service.promote()
        traffic.go_on()
    assert set(traffic.statuses) == {200}
    assert set(traffic.versions) == {version, last}


def test_an_oversized_body_is_refused_at_once(service: Service) -> None:
    started = time.monotonic()
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += "content-length: 209715200\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - started < PATIENCE_SECONDS
    chunks = (b" " * 65536 for _ in range(1000))
    try:
        answer = service.http.post(PREDICT, content=chunks, headers={"content-type": "application/json"})
    except httpx.WriteError:
        return  # refused while the client was still writing
    assert answer.json()["error"] == "body_too_large"


@pytest.mark.parametrize(
    "head",
    [
        f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{{}}",
        f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nx-long: {'a' * 70_000}\r\n\r\n",
        f"GET /{'a' * 100_000} HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["negative length", "two lengths", "70 KB header", "100 KB path"],
)
def test_requests_that_are_not_http_never_reach_us(service: Service, head: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


def test_news_arrive_while_they_happen(service: Service) -> None:
    with service.client() as client, client.stream("GET", "/v1/models/pets/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        service.tell("narrate", 77)
        assert next(line for line in lines if line.startswith("data:")).endswith('"data":{"version":77}}')


def test_haproxy_listens_on_loopback_alone_and_dies_with_the_cluster(service: Service) -> None:
    (haproxy,) = [one for one in service.processes("haproxy.cfg") if one.name() == "haproxy"]
    listening = [one.laddr for one in haproxy.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert [tuple(address) for address in listening] == [("127.0.0.1", service.port)]
    kill_one(service, "HAProxyManager")
    haproxy.wait(PATIENCE_SECONDS)
