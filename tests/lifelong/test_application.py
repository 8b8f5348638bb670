"""The service as KubeRay starts it: nodes by `lifelong node`, a Serve configuration, a node of its own that trains."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts.events import FeedbackEvent
from lifelong.client import Client
from lifelong.tokens import add
from service.tokens import Role
from tests.driver import short_directory
from tests.lifelong.deployed import Deployed

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
CONFIGURATION = "model: pets\ninput: {kind: tensor, shape: [2]}\nlearner: {workers: 2}\n"
SERVED_SECONDS = 300.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


def test_a_serve_configuration_starts_the_service_and_a_joined_node_trains(directory: Path) -> None:
    config, state = directory / "pets.yaml", directory / "state"
    config.write_text(CONFIGURATION)
    cluster = Deployed(directory)
    try:
        cluster.start_head()
        refused = cluster.deploy(configs=[str(config)], state=str(state))
        assert refused["status"] == "DEPLOY_FAILED"
        assert "without bearer tokens" in refused["message"]

        config.write_text(f"{CONFIGURATION}service: {{tokens: {directory}/tokens.json}}\n")
        secret = add(config, "me", [Role.ADMIN])
        assert cluster.deploy(configs=[str(config)], state=str(state))["status"] == "RUNNING", cluster.logs()

        cluster.join(f"lifelong train {config} --state {state} --here")
        with Client(f"http://127.0.0.1:{cluster.port}", "pets", token=secret) as client:
            events = [FeedbackEvent(instance=msgspec.Raw(b"[%d,1]" % n), label=str(n % 2)) for n in range(20)]
            receipt = client.feedback(events)
            served = client.wait_served(receipt.position, SERVED_SECONDS)
            assert served.version > 0
            cluster.until(lambda: client.status().workers == 2)
            assert client.predict([[1, 1]]).version == served.version
    finally:
        sys.stderr.write(cluster.logs())
        cluster.close()
