"""Files of feedback in every format become the same events, with ids that make sending again harmless."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.events import FeedbackEvent
from contracts.inputs import ImageInput, InputSpec, TabularInput, TensorInput, TextInput
from lifelong.errors import BadFile
from lifelong.rows import MAX_LINE_BYTES, Row, read_rows
from lifelong.send import BATCH_BYTES, BATCH_ROWS, RejectedRow, Sent, batches

pytestmark = pytest.mark.unit
PAIR, TEXT = TensorInput(shape=(2,)), TextInput()
CUSTOMER = TabularInput(columns={"age": "number", "plan": ["free", "paid"]})


def read(directory: Path, name: str, content: str, spec: InputSpec = PAIR) -> list[FeedbackEvent]:
    path = directory / name
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    return events_of(path, spec)


def events_of(path: Path, spec: InputSpec) -> list[FeedbackEvent]:
    events = [row.event for row in read_rows(path, spec)]
    assert all(isinstance(event, FeedbackEvent) for event in events)
    return [event for event in events if isinstance(event, FeedbackEvent)]


def instance(event: FeedbackEvent) -> object:
    assert event.instance is not msgspec.UNSET
    return msgspec.json.decode(event.instance)


def test_ndjson_lines_are_events_as_over_rest(tmp_path: Path) -> None:
    events = read(
        tmp_path, "a.ndjson", '{"label": 3, "instance": [1, 2], "task": "t"}\n\n{"label":"x","prediction_id":"p"}'
    )
    assert [event.label_name for event in events] == ["3", "x"]
    assert instance(events[0]) == [1, 2]
    assert (events[0].task, events[1].prediction_id) == ("t", "p")


def test_csv_columns_are_the_instance_in_their_order(tmp_path: Path) -> None:
    events = read(tmp_path, "a.csv", "x0,label,x1,task\n0.5,yes,2,t\n")
    assert (events[0].label, events[0].task, instance(events[0])) == ("yes", "t", [0.5, 2])


def test_csv_numbers_take_the_shape_of_the_input(tmp_path: Path) -> None:
    events = read(tmp_path, "a.csv", "label,a,b,c,d\n7,1,2,3,255\n", ImageInput(shape=(2, 2)))
    assert instance(events[0]) == [[1, 2], [3, 255]]


def test_csv_of_a_tabular_model_is_read_by_column_name(tmp_path: Path) -> None:
    events = read(tmp_path, "a.csv", "plan,age,label\nfree,41,stays\n", CUSTOMER)
    assert instance(events[0]) == {"plan": "free", "age": 41}


@pytest.mark.parametrize("column", ["instance", "text"])
def test_csv_of_a_text_model_has_the_text_in_one_column(tmp_path: Path, column: str) -> None:
    events = read(tmp_path, "a.csv", f'label,{column}\ngreeting,"hello, ""you"""\n', TEXT)
    assert instance(events[0]) == 'hello, "you"'


def test_a_text_of_several_lines_is_one_row_with_all_of_them_as_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('label,instance\ngreeting,"good\nday"\n')
    assert [row.place for row in read_rows(path, TEXT)] == ["lines 2 to 3"]


def test_csv_may_name_predictions_in_place_of_instances(tmp_path: Path) -> None:
    events = read(tmp_path, "a.csv", "label,prediction_id\n7,abc\n")
    assert events[0].prediction_id == "abc"
    assert events[0].instance is msgspec.UNSET


def test_npz_arrays_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, instances=np.array([[1.0, 2.0], [3.0, 4.0]]), labels=np.array([0, 1]), tasks=np.array(["a", "b"]))
    events = events_of(path, PAIR)
    assert [(event.label_name, event.task, instance(event)) for event in events] == [
        ("0", "a", [1.0, 2.0]),
        ("1", "b", [3.0, 4.0]),
    ]


def test_ids_depend_on_the_content_and_the_row_alone(tmp_path: Path) -> None:
    rows = '{"label":"a","prediction_id":"p"}\n' * 2
    first, again = read(tmp_path, "a.ndjson", rows), read(tmp_path, "b.ndjson", rows)
    other = read(tmp_path, "a.ndjson", rows + rows)
    ids = [event.event_id for event in first]
    assert ids == [event.event_id for event in again]
    assert len(set(ids)) == 2
    assert not set(ids) & {event.event_id for event in other}


def test_an_id_that_a_row_brings_is_kept(tmp_path: Path) -> None:
    events = read(tmp_path, "a.csv", "event_id,label,a,b\nmine,7,1,2\n,7,1,2\n")
    assert events[0].event_id == "mine"
    assert events[1].event_id not in (None, "mine")


GOOD = '{"label": 3, "instance": [1, 2]}'


@pytest.mark.parametrize(
    ("name", "rows", "bad", "good"),
    [
        ("a.ndjson", [GOOD, "nonsense", "", GOOD], "line 2: the event is not valid JSON", ["line 1", "line 4"]),
        ("a.ndjson", ['{"label": 3}', GOOD], "line 1: an event needs a prediction_id or an instance", ["line 2"]),
        ("a.ndjson", ["1" * 2 * MAX_LINE_BYTES, GOOD], f"line 1: longer than {MAX_LINE_BYTES} bytes", ["line 2"]),
        ("a.csv", ["label,a,b", "1,2", "1,2,3"], "line 2: not a row like the header", ["line 3"]),
        ("a.csv", ["label,a,b", '1,2,"3"x', "1,2,3"], "line 2: not a row like the header", ["line 3"]),
        (
            "a.csv",
            ["label,a,b", '1,"2,3', "1,2,3", '1,"2,3', "1,2,3"],
            "lines 2 to 4: not a row like the header",
            ["line 5"],
        ),
        ("a.csv", ["label,a,b", "1,2,3", '1,"2,3', "1,2,3"], "lines 3 to 4: not a row like the header", ["line 2"]),
        (
            "a.csv",
            ["label,a,b", "1,2,3", "", "1,2", "1,2,3"],
            "line 4: not a row like the header",
            ["line 2", "line 5"],
        ),
        ("a.csv", ["label,a,b", "\udcff,2,3", "1,2,3"], "line 2: not UTF-8", ["line 3"]),
        ("a.ndjson", ['{"label": 3, "instance": "\udcff"}', GOOD], "line 1: not UTF-8", ["line 2"]),
        ("a.csv", ["a,label,b", "1,2,3", "1,2,x"], "line 3: column 3: not a number", ["line 2"]),
        ("a.csv", ["label,a,b", "1,nan,2", "1,2,3"], "line 2: column 2: not a number", ["line 3"]),
        ("a.csv", ["label,a,b", "1,2,1e999", "1,2,3"], "line 2: column 3: not a finite number", ["line 3"]),
        ("a.csv", ["label,a,b", ",2,3", "1,2,3"], "line 2: $: Object missing required field `label`", ["line 3"]),
        ("a.csv", ["label,instance", "1,[1", '1,"[1,2]"'], "line 2: column instance: not JSON", ["line 3"]),
    ],
)
def test_a_bad_row_is_told_with_its_place_and_the_others_are_events(
    tmp_path: Path, name: str, rows: list[str], bad: str, good: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes("\n".join(rows).encode(errors="surrogateescape"))
    found = list(read_rows(path, PAIR))
    assert [row.place for row in found if isinstance(row.event, FeedbackEvent)] == good
    assert [f"{row.place}: {row.event}" for row in found if not isinstance(row.event, FeedbackEvent)] == [bad]


def test_a_tables_bad_cell_is_told_by_the_name_of_its_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("plan,age,label\nfree,old,stays\n")
    (row,) = read_rows(path, CUSTOMER)
    assert str(row.event) == "column age: not a number"


@pytest.mark.parametrize(
    ("name", "content", "spec", "said"),
    [
        ("a.txt", "", PAIR, "must end in one of"),
        ("a.csv", "lable,a,b\n1,2,3\n", PAIR, "must name each column once, with `label`, in UTF-8; missing: label"),
        ("a.csv", "label,a,a\n1,2,3\n", PAIR, "must name each column once"),
        ("a.csv", "label,\udcff,a\n1,2,3\n", PAIR, "must name each column once, with `label`, in UTF-8"),
        ("a.csv", "label,a\n1,2\n", PAIR, "as many as [2] has numbers, not 1"),
        ("a.csv", "label,age\n1,2\n", CUSTOMER, "must be age, plan; missing: plan"),
        ("a.csv", "label,age,note,plan\n1,2,3,free\n", CUSTOMER, "must be age, plan; column 3 is none of these"),
        ("a.csv", "label,words\n1,hello\n", TEXT, "must be text or instance"),
        ("a.csv", "label,text\n1,hello\n", PAIR, "as many as [2] has numbers, not 1"),
        ("a.npz", "no archive", PAIR, "not an npz file"),
    ],
)
def test_a_file_whose_header_is_wrong_is_refused_as_a_whole(
    tmp_path: Path, name: str, content: str, spec: InputSpec, said: str
) -> None:
    with pytest.raises(BadFile) as caught:
        read(tmp_path, name, content, spec)
    assert said in caught.value.detail


def test_pickled_arrays_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, instances=np.array([{}], dtype=object), labels=np.array([0]))
    with pytest.raises(BadFile, match="not an npz file of plain arrays"):
        list(read_rows(path, PAIR))


def test_batches_stay_below_both_limits_and_lose_nothing() -> None:
    large = msgspec.Raw(b'"' + b"x" * (BATCH_BYTES // 2) + b'"')
    events = [FeedbackEvent(label="a", instance=large) for _ in range(3)]
    events += [FeedbackEvent(label="a", prediction_id="p") for _ in range(BATCH_ROWS + 1)]
    rows = [Row(f"line {number}", event) for number, event in enumerate(events)]
    made = list(batches(rows))
    assert [row for batch in made for row in batch] == rows
    assert max(len(batch) for batch in made) == BATCH_ROWS
    assert len(made[0]) == 1


def test_what_was_rejected_is_shown_in_part_and_counted_whole() -> None:
    rejections = (RejectedRow("line 3", "wrong_type", "column 2: not a number"),)
    assert Sent(accepted=7, rejected=5, rejections=rejections).lines()[:3] == [
        "accepted 7, duplicates 0, rejected 5",
        "  line 3: column 2: not a number (wrong_type)",
        "  and 4 more",
    ]


@pytest.mark.parametrize(
    ("sent", "is_said"),
    [(Sent(duplicates=3), True), (Sent(accepted=1, duplicates=3), False), (Sent(accepted=4), False), (Sent(), False)],
)
def test_a_file_whose_rows_are_all_known_says_that_nothing_is_learned(sent: Sent, is_said: bool) -> None:
    assert any("not learned again" in line for line in sent.lines()) == is_said
