"""How HAProxy is started in Serve's name."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.environment import environment
from service.haproxy import BUFFER_BYTES, UnknownConfiguration, adapted

pytestmark = pytest.mark.unit

WRITE = """
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
backend = BackendConfig("replicas", "/", servers=[ServerConfig("one", "127.0.0.1", 9)])
HAProxyApi(HAProxyConfig(), {"replicas": backend})._generate_config_file_internal()
"""
"""Makes Serve write its configuration of HAProxy as its manager does."""
DIRECTORY = Path("/service")


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where HAProxy's files lie; its path is short, as a service's is."""
    with tempfile.TemporaryDirectory(prefix="ll-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def serves_own(directory: Path) -> str:
    """The configuration that Serve itself writes, in the environment that the service gives it."""
    variables = environment(directory)
    subprocess.run([sys.executable, "-c", WRITE], env=os.environ | variables, check=True)
    return Path(variables["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).read_text()


def lines_of(config: str, section: str) -> list[str]:
    """What a section of a configuration says, line by line, without comments and blank lines."""
    _, _, rest = f"\n{config}".partition(f"\n{section}\n")
    own = rest.splitlines()
    length = next((place for place, line in enumerate(own) if line and not line.startswith(" ")), len(own))
    return [line.strip() for line in own[:length] if line.strip() and not line.strip().startswith("#")]


def test_haproxy_has_no_port_of_its_own_and_logs_no_request(serves_own: str) -> None:
    lines = [line.strip() for line in adapted(serves_own, DIRECTORY).splitlines()]
    binds = [line for line in lines if line.startswith("bind ")]
    assert binds == ["bind unix@/service/prometheus.sock", "bind *:8000", "bind unix@/service/stats.sock"]
    assert not [line for line in lines if line.startswith("log ")]


def test_the_rules_for_requests_come_before_those_of_serve(serves_own: str) -> None:
    assert lines_of(adapted(serves_own, DIRECTORY), "frontend http_frontend")[1:7] == [
        "http-request return status 405 errorfile /service/method.http"
        " unless { method GET HEAD POST PUT PATCH DELETE OPTIONS }",
        "http-request return status 404 errorfile /service/absent.http"
        " if { path,url_dec -i /-/routes } or !{ path_beg / }",
        "http-request disable-l7-retry unless { method GET HEAD } or { path_end /predict /infer /explain }",
        "http-request wait-for-body time 20s"
        " if { path_end /predict /infer /explain } { req.hdr_val(content-length) le 31744 }",
        "http-request del-header x-request-id if { req.fhdr(x-request-id) -m reg [^!-~] }"
        " or { req.fhdr(x-request-id),length gt 128 }",
        "acl healthcheck path -i /-/healthz",
    ]


def test_times_buffer_and_refusals_are_the_services(serves_own: str) -> None:
    config = adapted(serves_own, DIRECTORY)
    assert f"tune.bufsize {BUFFER_BYTES}" in lines_of(config, "global")
    defaults = lines_of(config, "defaults")
    assert defaults[1:5] == [
        "timeout http-request 10s",
        "option http-ignore-probes",
        "errorfile 408 /service/slow.http",
        "errorfile 500 /service/failed.http",
    ]
    assert "retry-on conn-failure empty-response" in defaults
    assert "timeout http-keep-alive 90s" in defaults, "without it, an idle connection has the time of a head"
    assert lines_of(config, "backend default_backend") == [
        "http-request return status 503 errorfile /service/starting.http"
    ]


@pytest.mark.parametrize(
    "place",
    ["frontend http_frontend\n", "defaults\n    mode http\n", "backend default_backend\n", "listen stats\n"],
    ids=["the frontend", "the defaults", "the default backend", "the statistics"],
)
@pytest.mark.parametrize("times", [0, 2])
def test_a_configuration_with_other_places_is_refused(serves_own: str, place: str, times: int) -> None:
    start = serves_own.index(f"\n{place}") + 1
    end = serves_own.find("\n", start + len(place)) + 1
    other = serves_own[:start] + serves_own[start:end] * times + serves_own[end:]
    with pytest.raises(UnknownConfiguration, match="expected"):
        adapted(other, DIRECTORY)


def launched(directory: Path, config: str) -> subprocess.CompletedProcess[str]:
    """How the launcher ends when it is told to check a configuration."""
    variables = environment(directory)
    path = Path(variables["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"])
    path.write_text(config)
    command = [variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_launcher_prepares_and_becomes_haproxy(directory: Path, serves_own: str) -> None:
    checked = launched(directory, serves_own)
    assert "Configuration file is valid" in checked.stdout, checked.stderr
    assert (directory / "haproxy.cfg").read_text() == adapted(serves_own, directory)
    head, _, body = (directory / "500.http").read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json")
    assert b"content-length: %d" % len(body) in head
    assert b"retry-after: 1" in head
    assert b"whether it did what was asked is not known" in body


def test_the_launcher_starts_no_haproxy_that_would_give_orders_twice(directory: Path, serves_own: str) -> None:
    refused = launched(directory, serves_own.replace("frontend http_frontend", "frontend http"))
    assert refused.returncode == 1
    assert "Serve's configuration of HAProxy" in refused.stderr.splitlines()[-1]


def test_two_services_on_one_machine_share_no_port(tmp_path: Path) -> None:
    key = "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"
    ports = {environment(tmp_path)[key] for _ in range(3)}
    assert "8500" not in ports


def test_ray_is_not_imported_before_its_environment_is_set() -> None:
    program = (
        "import sys, service.environment, service.settings; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
