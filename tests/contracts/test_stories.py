"""Stories: what an instance may be, and how it becomes numbers."""

from itertools import combinations
from typing import Any

import msgspec
import pytest

from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidInstance
from contracts.inputs import StoryInput, describe, parse_input

pytestmark = pytest.mark.unit

SPEC = StoryInput(sentences=2, words=4, vocabulary=["Mary", "went", "home", "where", "is", "she"])
STORY: dict[str, list[str] | str] = {
    "story": ["Mary went.", "She went home!", "Mary is home."],
    "question": "Where is she?",
}


def test_the_question_comes_first_and_the_last_sentence_next() -> None:
    assert SPEC.encode([STORY]).tolist() == [[[4, 5, 6, 0], [1, 5, 3, 0], [6, 2, 3, 0]]]


def test_words_outside_the_vocabulary_and_beyond_the_length_are_left_out() -> None:
    long: dict[str, list[str] | str] = {"story": ["Then Mary went home, where she is"], "question": "Mary?"}
    assert SPEC.encode([long]).tolist() == [[[1, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]]]


def test_hashed_words_stay_below_the_number_of_tokens_and_seldom_meet() -> None:
    hashed = StoryInput(sentences=1, words=200, buckets=1000)
    words = [f"word{number}" for number in range(150)]
    numbers = hashed.encode([{"story": [], "question": " ".join(words)}])[0, 0, :150].tolist()
    assert all(0 < number < hashed.n_tokens for number in numbers)
    assert StoryInput(buckets=2, words=1).encode([STORY])[0, :4].tolist() == [[1]] * 4
    meetings = sum(one == other for one, other in combinations(numbers, 2))
    assert meetings < 2 * 150**2 / (2 * 1000)


def test_a_story_arrives_as_json() -> None:
    decode = InstanceDecoder(SPEC)
    assert decode(msgspec.json.encode(STORY)).tolist() == SPEC.encode([STORY])[0].tolist()
    assert parse_input(SPEC.model_dump(mode="json")) == SPEC
    with pytest.raises(InvalidInstance, match="a story, which is a list of sentences, and a question"):
        decode(b'{"story": [1], "question": "Where?"}')
    assert "story" in describe(SPEC)


@pytest.mark.parametrize(
    "instance",
    [
        {},
        {"story": ["Mary went."]},
        {"story": "Mary went.", "question": "Where?"},
        {"story": [], "question": ["Where?"]},
        {"story": [], "question": "Where?", "answer": "home"},
        {"story": [" . "], "question": "Where?"},
        {"story": [], "question": ""},
        {"story": ["Mary " * 4001], "question": "Where?"},
    ],
)
def test_what_is_no_story_is_refused(instance: dict[str, Any]) -> None:
    with pytest.raises(InvalidInstance) as refusal:
        SPEC.encode([instance])
    assert refusal.value.code == "wrong_shape"
