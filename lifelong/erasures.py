"""`lifelong forget`: follows an erasure, and says how it goes."""

import time

from lifelong.client import Certificate, Client
from lifelong.output import working

POLL_SECONDS = 0.2
STAGES = {
    "waiting": "waiting until what was accepted before is accounted for",
    "retraining": "learning anew without it, while the version before answers",
    "withdrawing": "deleting the withdrawn versions from the registry",
}


def follow(client: Client, erasure: str) -> Certificate:
    """The certificate once it is complete; until then each stage is said on stderr.

    Raises:
        LifelongError: as `Client.erasure`; the erasure itself goes on.
    """
    said = ""
    with working(f"erasure {erasure}") as say:
        while not (certificate := client.erasure(erasure)).is_complete:
            stage = STAGES.get(certificate.state) or _last_stage(certificate.answering)
            if stage != said:
                say(stage)
                said = stage
            time.sleep(POLL_SECONDS)
    return certificate


def _last_stage(answering: int) -> str:
    return f"waiting for {answering} {'replica' if answering == 1 else 'replicas'} to take the new version"
