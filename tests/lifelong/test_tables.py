"""What the status says below its table."""

import pytest

from contracts.status import Ledger
from lifelong.tables import status_lines
from service.documents import Refusal, StatusDocument

pytestmark = pytest.mark.unit
PARTS = "trained 5 + probe 1 + duplicate 0 + late 1 + quarantined 0 + dead 2 + pending 3"


@pytest.mark.parametrize(
    ("received", "said"),
    [(12, f"the ledger balances: received 12 = {PARTS}"), (13, f"the ledger does not balance: received 13 ≠ {PARTS}")],
)
def test_the_ledger_is_added_up(received: int, said: str) -> None:
    ledger = Ledger(received=received, trained=5, probe=1, late=1, dead=2, pending=3)
    status = StatusDocument(model="digits", trainer="running", ledger=ledger)
    assert status_lines(status) == ["digits: the trainer is running", f"digits: {said}"]


def test_a_version_that_a_replica_refused_is_named_with_its_reason() -> None:
    status = StatusDocument(model="digits", refused=Refusal(7, "bad_artifact", "weights are altered"))
    trainer, _, refused = status_lines(status)
    assert trainer == "digits: the trainer is silent"
    assert refused == "digits: a replica refused generation 7: weights are altered (bad_artifact)"
