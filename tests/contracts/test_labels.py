"""Which labels a configuration may list: those that feedback can carry."""

import pytest
from pydantic import ValidationError

from contracts.labels import LabelSpec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["", "cat\n", "a\x00b", "x" * 201])
def test_a_label_that_no_event_can_carry_cannot_be_configured(name: str) -> None:
    with pytest.raises(ValidationError, match=r"names\.1"):
        LabelSpec(names=["dog", name])


def test_other_words_and_signs_are_labels() -> None:
    assert LabelSpec(names=["sehr gut", "très bien 👍"]).allows("très bien 👍")
