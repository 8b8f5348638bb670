"""Two connections to one state file: the trainer's own and the mirror's."""

from pathlib import Path

import apsw
import pytest

from trainer.database import Database

pytestmark = pytest.mark.unit


def test_a_transaction_that_reads_before_it_writes_survives_another_writer(tmp_path: Path) -> None:
    trainer, mirror = (Database(tmp_path / "state.db", "test") for _ in range(2))
    mirror.connection.set_busy_timeout(0)
    with trainer.transaction():
        assert trainer.get("mirrored", int) is None
        with pytest.raises(apsw.BusyError):
            mirror.put("mirrored", 1)
        trainer.put("learned", 2)
    mirror.put("mirrored", 1)
    assert (trainer.get("mirrored", int), trainer.get("learned", int)) == (1, 2)
