"""How HAProxy is started in Serve's name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.environment import environment
from service.haproxy import adapted

pytestmark = pytest.mark.unit

SERVES_OWN = """global
    log 127.0.0.1:514 local0 info
    stats timeout 30s
defaults
    mode http
    log global
    option log-health-checks
frontend prometheus
    bind :9101
    no log
frontend http_frontend
    bind *:8000
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \'%[path]\' not found."
listen stats
  bind *:8404
"""
DIRECTORY = Path("/service")


def test_haproxy_has_no_port_of_its_own_logs_no_request_and_waits_for_no_head() -> None:
    assert adapted(SERVES_OWN, DIRECTORY).splitlines() == [
        "global",
        "    stats timeout 30s",
        "defaults",
        "    mode http",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 300s",
        "    option http-ignore-probes",
        "    errorfile 408 /service/slow.http",
        "    errorfile 500 /service/failed.http",
        "    option log-health-checks",
        "frontend prometheus",
        "    bind unix@/service/prometheus.sock",
        "    no log",
        "frontend http_frontend",
        "    bind *:8000",
        "    http-request return status 405 errorfile /service/method.http"
        " unless { method GET HEAD POST PUT PATCH DELETE OPTIONS }",
        "    http-request return status 404 errorfile /service/absent.http"
        " if { path,url_dec -i /-/routes } or !{ path_beg / }",
        "    http-request disable-l7-retry unless { method GET HEAD } or { path_end /predict /infer /explain }",
        "    http-request wait-for-body time 20s"
        " if { path_end /predict /infer /explain } { req.hdr_val(content-length) le 16384 }",
        "    http-request del-header x-request-id if { req.fhdr(x-request-id) -m reg [^!-~] }"
        " or { req.fhdr(x-request-id),length gt 128 }",
        "    default_backend default_backend",
        "backend default_backend",
        "    http-request return status 503 errorfile /service/starting.http",
        "listen stats",
        "    bind unix@/service/stats.sock",
    ]


def test_the_launcher_prepares_and_becomes_haproxy(tmp_path: Path) -> None:
    variables = environment(tmp_path)
    launcher = Path(variables["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert os.access(launcher, os.X_OK)
    node = tmp_path / "node"
    node.mkdir()
    config = node / "haproxy.cfg"
    config.write_text(SERVES_OWN)
    checked = subprocess.run([launcher, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert "haproxy" in (checked.stdout + checked.stderr).lower()
    assert config.read_text() == adapted(SERVES_OWN, tmp_path)
    head, _, body = (node / "500.http").read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json")
    assert b"content-length: %d" % len(body) in head
    assert b"retry-after: 1" in head


def test_two_services_on_one_machine_share_no_port(tmp_path: Path) -> None:
    key = "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"
    ports = {environment(tmp_path)[key] for _ in range(3)}
    assert "8500" not in ports


def test_ray_is_not_imported_before_its_environment_is_set() -> None:
    program = (
        "import sys, service.environment, service.settings; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
