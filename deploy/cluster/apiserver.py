"""A Kubernetes API server of our own: real validation and storage, and nobody who would start a pod."""

import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from image.commands import Disproved, output, until

from cluster.tools import api_server, etcd

READY_SECONDS = 120
HERE = "127.0.0.1"


class ApiServer:
    """A server that answers, spoken to as its administrator."""

    def __init__(self, directory: Path, port: int, token: str) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self._address, self._token = f"https://{HERE}:{port}", token
        own = ssl._create_unverified_context()  # it made its certificate itself, a moment ago, for loopback
        handlers = (urllib.request.HTTPSHandler(context=own), urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        cluster = {"server": self._address, "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self.kubeconfig.write_text(json.dumps(config))
        self.kubeconfig.chmod(0o600)

    def get(self, path: str) -> Any:
        """A document.

        Raises:
            Disproved: there is none, or the server does not answer.
        """
        return json.loads(self._ask("GET", path))

    def create(self, path: str, document: bytes) -> None:
        """Creates an object from its YAML."""
        self._ask("POST", path, document)

    def is_there(self, path: str) -> bool:
        """Whether the server answers 200 there."""
        try:
            self._ask("GET", path)
        except Disproved:
            return False
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["content-type"] = "application/yaml"
        request = urllib.request.Request(self._address + path, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise Disproved(f"{method} {path}: {error.code} {error.read().decode()[:1000]}") from None
        except OSError as error:
            raise Disproved(f"{method} {path}: {error}") from None


@contextlib.contextmanager
def running(directory: Path) -> Iterator[ApiServer]:
    """etcd and kube-apiserver in the directory, for as long as the context lasts."""
    store, peers, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    (directory / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    key = directory / "service-account.key"
    output(["openssl", "genrsa", "-out", str(key), "2048"], {}, 60)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process(directory, "etcd", _etcd(directory, store, peers)))
        stack.enter_context(_process(directory, "kube-apiserver", _api_server(directory, store, port, key)))
        server = ApiServer(directory, port, token)
        try:
            until(lambda: server.is_there("/readyz"), READY_SECONDS, "the API server is ready")
        except Disproved as fault:
            last = (directory / "kube-apiserver.log").read_text()[-1500:]
            raise Disproved(f"{fault}\n{last}") from None
        yield server


def _etcd(directory: Path, port: int, peers: int) -> list[str]:
    clients, others = f"http://{HERE}:{port}", f"http://{HERE}:{peers}"
    places = [f"--data-dir={directory}/etcd", f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"]
    places += [f"--listen-peer-urls={others}", f"--initial-advertise-peer-urls={others}"]
    return [etcd(), *places, f"--initial-cluster=default={others}", "--unsafe-no-fsync"]


def _api_server(directory: Path, store: int, port: int, key: Path) -> list[str]:
    accounts = [f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"]
    return [
        api_server(),
        f"--etcd-servers=http://{HERE}:{store}",
        f"--bind-address={HERE}",
        f"--advertise-address={HERE}",
        f"--secure-port={port}",
        f"--cert-dir={directory}/certificates",
        *accounts,
        "--service-account-issuer=https://localhost",
        f"--token-auth-file={directory}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        # There is no controller that would make the accounts that it asks for.
        "--disable-admission-plugins=ServiceAccount",
    ]


@contextlib.contextmanager
def _process(directory: Path, name: str, command: Sequence[str]) -> Iterator[None]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=os.environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A TCP port at which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])
