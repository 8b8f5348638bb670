"""A replica behind a real HTTP server in a thread of this process, for clients that open connections."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from contracts.erasures import Erasure
from contracts.inputs import parse_input
from contracts.versions import Artifact
from networks.settings import parse_network
from service.access import Access
from service.champion import load
from service.environment import free_port
from service.hosting import Host, Parts
from service.hub import Hub
from service.routes import build
from service.settings import HostedModel, ServingSettings
from service.shortcut import Shortcut
from tests.service.inprocess import DictRegistry, ScriptedTrainer
from tests.service.versions import NETWORK, TENSOR

PATIENCE_SECONDS = 60.0
ERASURE = Erasure(id="e1", subject_sha256="0" * 64, state="waiting", asked_at=1.0)


@contextmanager
def listening(
    directory: Path,
    registered: Mapping[int, Artifact],
    spec: Any = TENSOR,
    network: Any = NETWORK,
    settings: ServingSettings | None = None,
) -> Iterator[str]:
    """Serves the newest of the registered versions of `pets`, and one erasure; yields the address."""
    settings = settings or ServingSettings()
    hub = Hub("pets", lambda: DictRegistry(registered))
    if registered:
        asyncio.run(hub.announce(1, registered[max(registered)].files()))
    asyncio.run(hub.certify([msgspec.json.encode(ERASURE)]))
    parsed = parse_network(network)
    model = HostedModel(name="pets", input=parse_input(spec), network=parsed, directory=directory)
    access = Access.of(settings)
    host = Host(model, settings, Parts(hub, ScriptedTrainer()), access, lambda *given: load(parsed, *given))
    app = Shortcut(build({"pets": host}, settings, access), host.fast_routes())
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
