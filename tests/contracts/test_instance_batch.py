"""Many instances decoded at once are the same rows as one by one, and a bad one among them is found."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidInstance
from contracts.inputs import TensorInput, TextInput

pytestmark = pytest.mark.unit
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(NUMBER, min_size=3, max_size=3), max_size=6))
def test_a_batch_equals_its_instances(instances: list[list[float]]) -> None:
    decoder = InstanceDecoder(TensorInput(shape=(3,)))
    raws = [msgspec.json.encode(instance) for instance in instances]
    rows = decoder.batch(raws)
    assert rows.shape == (len(instances), 3)
    for row, raw in zip(rows, raws, strict=True):
        np.testing.assert_array_equal(row, decoder(raw))


def test_texts_are_encoded_alike() -> None:
    decoder = InstanceDecoder(TextInput(max_tokens=4))
    raws = [b'"what is my balance"', b'"hello"']
    np.testing.assert_array_equal(decoder.batch(raws), np.stack([decoder(raw) for raw in raws]))


@pytest.mark.parametrize(
    ("bad", "code"), [(b"[1,2]", "wrong_shape"), (b'["a",2,3]', "wrong_type"), (b"[1e39,2,3]", "out_of_range")]
)
def test_one_bad_instance_fails_the_batch(bad: bytes, code: str) -> None:
    decoder = InstanceDecoder(TensorInput(shape=(3,)))
    with pytest.raises(InvalidInstance) as caught:
        decoder.batch([b"[1,2,3]", bad])
    assert caught.value.code == code
