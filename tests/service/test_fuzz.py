"""Every route against what its OpenAPI description allows and forbids, by schemathesis.

`make test` runs a sample; `make nightly` sets LIFELONG_FUZZ_EXAMPLES for more than 10,000 cases.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig

from tests.service.inprocess import InProcessService
from tests.service.listening import ERASURE, listening
from tests.service.versions import artifact

pytestmark = pytest.mark.unit
EXAMPLES = int(os.environ.get("LIFELONG_FUZZ_EXAMPLES", "15"))
NUMBERS = st.integers(-9, 9)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5)
UNDECIDABLE = "positive_data_acceptance"
LENIENT = "negative_data_rejection"
EXCLUDED = {
    "/explain": [UNDECIDABLE],
    "/infer": [UNDECIDABLE],
    "/rollback": [UNDECIDABLE],
    "/feedback": [UNDECIDABLE, LENIENT],
}
"""Bodies that a schema cannot tell to be right: they name labels, predictions and shapes, and 1.0 is no version. And a
request with one good event is accepted, whatever the others are."""
CASES = itertools.count()


def _lines(rows: list[Any], template: str) -> bytes:
    return "\n".join(template % tuple(row) for row in rows).encode()


schemathesis.openapi.media_type("application/x-ndjson", ROWS.map(lambda rows: _lines(rows, "[%d,%d,%d,%d]")))
schemathesis.openapi.media_type("text/csv", ROWS.map(lambda rows: b"a,b,c,d\n" + _lines(rows, "%d,%d,%d,%d")))


def _described() -> Any:
    """What there is to call; pytest must know it before any fixture is made."""
    with TemporaryDirectory() as directory, InProcessService(Path(directory)) as service:
        document = service.get("/openapi.json").document
    parameters = {"path.model": "pets", "path.version": "2", "path.erasure": ERASURE.id}
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict({"parameters": parameters}))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.stream.STREAM_SECONDS", 0.0)
        patch.setattr("service.hub.POLL_SECONDS", 0.01)
        registered = {version: artifact(version) for version in (1, 2)}
        with listening(tmp_path_factory.mktemp("pets"), registered) as name:
            yield f"http://{name}"
    sys.stderr.write(f"{next(CASES)} cases\n")


schema = _described()


@schema.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, print_blob=True)
def test_a_route_keeps_to_its_description(case: Any, address: str) -> None:
    next(CASES)
    suffix = "/" + case.operation.path.rpartition("/")[2]
    case.call_and_validate(base_url=address, excluded_checks=CHECKS.get_by_names(EXCLUDED.get(suffix, [])))
