"""`lifelong forget`: follows an erasure, and says how it goes."""

import time

from contracts.errors import LifelongError
from lifelong.client import Certificate, Client
from lifelong.client.calls import ERASURE_POLL_SECONDS
from lifelong.output import say, working

STAGES = {
    "waiting": "waiting until what was accepted before is accounted for",
    "retraining": "taken out; if anything was learned from it, the record is learned anew without it",
    "withdrawing": "deleting the withdrawn versions from the registry",
}
NOTHING_FOUND = "nothing of this subject was found: names match exactly, character by character"


def follow(client: Client, erasure: str) -> Certificate:
    """The certificate once it is complete. Each stage is said on stderr, and at the end that nothing was found, if so.

    Raises:
        LifelongError: as `Client.erasure`. The erasure itself goes on, which is said, as at Ctrl-C.
    """
    try:
        certificate = _followed(client, erasure)
    except (LifelongError, KeyboardInterrupt):
        say(f"the erasure goes on; how far it is: lifelong erasures {client.model} --id {erasure}")
        raise
    if not (certificate.examples or certificate.probes or certificate.dead_letters or certificate.requests):
        say(NOTHING_FOUND)
    return certificate


def _followed(client: Client, erasure: str) -> Certificate:
    said = ""
    with working(f"erasure {erasure}") as tell:
        while not (certificate := client.erasure(erasure)).is_complete:
            stage = STAGES.get(certificate.state) or _last_stage(certificate.answering)
            if stage != said:
                tell(stage)
                said = stage
            time.sleep(ERASURE_POLL_SECONDS)
    return certificate


def _last_stage(answering: int) -> str:
    return f"waiting for {answering} {'replica' if answering == 1 else 'replicas'} to take the new version"
