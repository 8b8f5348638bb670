"""Errors keep what they say on their way between processes."""

import pickle

import pytest

from contracts.errors import InvalidConfiguration, LifelongError
from feedback.errors import FeedbackGap

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "error", [InvalidConfiguration("bad_import", "no such module"), FeedbackGap("topic", 0, 3, 7)], ids=repr
)
def test_an_error_arrives_as_it_was(error: LifelongError) -> None:
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301  this is how Ray sends it
    assert type(arrived) is type(error)
    assert str(arrived) == str(error) == error.detail
    assert vars(arrived) == vars(error)
