"""A user's own files become arrays, with rows held out to test; what they are not is named."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.inputs import ImageInput, TabularInput, TensorInput, TextInput
from lifelong.bench.files import TEST_SHARE, read_file
from lifelong.bench.stream import Arrays
from lifelong.errors import BadFile

pytestmark = pytest.mark.unit


def read(directory: Path, name: str, content: str) -> Arrays:
    path = directory / name
    path.write_text(content, encoding="utf-8")
    return read_file(path)


def numbers(count: int = 20) -> str:
    return "a,label,b\n" + "".join(f"{row},{row % 2 * 10},{row / 2}\n" for row in range(count))


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def test_columns_of_numbers_are_a_tensor_in_their_order(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", numbers())
    assert found.spec == TensorInput(shape=(2,))
    assert list(found.names) == ["0", "10"]
    rows = [*found.train_inputs.tolist(), *found.test_inputs.tolist()]
    assert sorted(rows) == [[row, row / 2] for row in range(20)]


def test_labels_are_ordered_as_numbers_then_as_words(tmp_path: Path) -> None:
    labels = ["10", "b", "9", "a"]
    content = "x,label\n" + "".join(f"1,{label}\n2,{label}\n" for label in labels)
    assert list(read(tmp_path, "a.csv", content).names) == ["9", "10", "a", "b"]


def test_a_share_of_each_label_is_held_out_and_always_the_same(tmp_path: Path) -> None:
    one, other = read(tmp_path, "a.csv", numbers()), read(tmp_path, "b.csv", numbers())
    assert np.bincount(one.test_labels).tolist() == [10 * TEST_SHARE] * 2
    assert one.test_inputs.equal(other.test_inputs)
    learned = {tuple(row) for row in one.train_inputs.tolist()}
    assert learned.isdisjoint(tuple(row) for row in one.test_inputs.tolist())


def test_words_beside_numbers_are_a_table(tmp_path: Path) -> None:
    content = "plan,age,label\n" + "free,41,stays\npaid,30,goes\n" * 3
    found = read(tmp_path, "a.csv", content)
    assert found.spec == TabularInput(columns={"plan": ["free", "paid"], "age": "number"})
    assert sorted(set(map(tuple, found.train_inputs.tolist()))) == [(0.0, 1.0, 30.0), (1.0, 0.0, 41.0)]


def test_a_column_of_texts_is_text_and_one_of_lists_a_tensor(tmp_path: Path) -> None:
    texts = read(tmp_path, "a.csv", "text,label\n" + "good day,hello\nfarewell,bye\n" * 2)
    lists = read(
        tmp_path,
        "b.csv",
        'instance,label\n"[[1,2],[3,4]]",a\n"[[5,6],[7,8]]",b\n"[[1,2],[3,5]]",a\n"[[0,0],[0,0]]",b\n',
    )
    assert isinstance(texts.spec, TextInput)
    assert lists.spec == TensorInput(shape=(2, 2))


def test_columns_of_an_event_are_no_part_of_the_instance(tmp_path: Path) -> None:
    content = "event_id,x,label,task\n" + "".join(f"e{row},{row},{row % 2},t\n" for row in range(4))
    assert read(tmp_path, "a.csv", content).spec == TensorInput(shape=(1,))


@pytest.mark.parametrize(
    "names", [("instances", "labels"), ("train_instances", "train_labels"), ("x_train", "y_train")]
)
def test_npz_without_a_test_part(tmp_path: Path, names: tuple[str, str]) -> None:
    path = save(tmp_path / "a.npz", **{names[0]: np.ones((10, 4, 4), np.uint8), names[1]: np.arange(10) % 2})
    found = read_file(path)
    assert found.spec == ImageInput(shape=(4, 4))
    assert (len(found.train_labels), len(found.test_labels)) == (8, 2)


def test_npz_with_a_test_part_learns_all_training_rows(tmp_path: Path) -> None:
    train, test = np.arange(8.0).reshape(4, 2), np.arange(4.0).reshape(2, 2)
    path = save(tmp_path / "a.npz", x_train=train, y_train=[[0], [1], [0], [1]], x_test=test, y_test=[[0], [1]])
    found = read_file(path)
    assert found.train_inputs.tolist() == train.tolist()
    assert found.test_inputs.tolist() == test.tolist()


@pytest.mark.parametrize(("packed", "test_word"), [(True, "t10k"), (False, "test")])
def test_idx_files_are_found_by_the_name_of_one(tmp_path: Path, packed: bool, test_word: str) -> None:
    for part, count in (("train", 6), (test_word, 2)):
        for kind, array in (("images-idx3", np.full((count, 3, 3), 7)), ("labels-idx1", np.arange(count) % 2)):
            name = tmp_path / f"letters-{part}-{kind}-ubyte{'.gz' if packed else ''}"
            name.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_file(next(tmp_path.glob("*train-images*")))
    assert found.spec == ImageInput(shape=(3, 3))
    assert (len(found.train_labels), len(found.test_labels)) == (6, 2)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("a,b\n1,2\n", "bad_header", "label"),
        ("label\na\nb\n", "bad_header", "no column"),
        ("a,label\n", "too_few_rows", "no rows"),
        ("a,label\n1,x\n2,x\n", "too_few_labels", "two labels"),
        ("a,label\n1,x\n2,x\n3,y\n", "too_few_rows", "label y has a single row"),
        ("a,label\n1,x\n2,x\n3,x\n4,y\n5,z\n", "too_few_rows", "labels y, z have a single row each"),
        ("a,label\n1,x\n2,y\n3,\n4,x\n5,y\n", "bad_row", "line 4: the label is blank"),
        ("a,label\n1, \n2, \n3,x\n4,x\n", "bad_row", "line 2: the label is blank"),
        ("a,label\n1,x\n2,y\noops,x\n4,y\n5,y\n", "bad_row", "line 4: column a: not a number"),
        ("a,label\n1,x\n2,y\ninf,x\n4,y\n", "bad_row", "line 4: column a: not a number"),
        ("a,label\n1,x\n2\n", "bad_row", "line 3"),
        ('instance,label\n"[1,2]",x\n"[1]",y\n', "bad_row", "shape"),
        ("text,label\nhello,x\n,y\n", "bad_row", "characters"),
    ],
)
def test_a_csv_file_that_cannot_be_learned_from(tmp_path: Path, content: str, code: str, said: str) -> None:
    with pytest.raises(BadFile, match=said) as caught:
        read(tmp_path, "a.csv", content)
    assert caught.value.code == code
    assert "a.csv" in caught.value.detail


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"instances": np.ones((3, 2))}, "needs the arrays"),
        ({"instances": np.ones((3, 2)), "labels": np.ones(4)}, "equally long"),
        ({"instances": np.full((4, 2), np.nan), "labels": np.arange(4) % 2}, "not finite"),
        ({"instances": np.array([["a"], ["b"]]), "labels": np.arange(2)}, "texts, or numbers"),
        (
            {"x_train": np.ones((4, 2)), "y_train": [0, 1, 0, 1], "x_test": np.ones((2, 3)), "y_test": [0, 1]},
            "different shapes",
        ),
        (
            {"x_train": np.ones((4, 2)), "y_train": [0, 1, 0, 1], "x_test": np.ones((2, 2)), "y_test": [0, 2]},
            "other labels",
        ),
        ({"instances": np.ones((4, 2)), "labels": ["a", "", "a", ""]}, "row 1: the label is blank"),
        ({"instances": np.ones((4, 2)), "labels": [1, 2, 1, np.nan]}, "row 3: the label is blank"),
        ({"instances": np.array([{}, {}]), "labels": np.arange(2)}, "not an npz file of plain arrays"),
    ],
)
def test_an_npz_file_that_cannot_be_learned_from(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_file(save(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_with_their_channels_last_are_refused_with_what_turns_them(
    tmp_path: Path, kind: Any, channels: int
) -> None:
    images, labels = np.ones((10, 6, 5, channels), kind), np.arange(10) % 2
    with pytest.raises(BadFile, match="channels, height, width") as caught:
        read_file(save(tmp_path / "a.npz", x_train=images, y_train=labels))
    assert caught.value.code == "channels_last"
    assert "x.transpose(0, 3, 1, 2)" in caught.value.detail
    turned = read_file(save(tmp_path / "b.npz", x_train=images.transpose(0, 3, 1, 2), y_train=labels))
    assert turned.spec.row_shape == (channels, 6, 5)


def test_images_with_as_many_columns_as_channels_are_read_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", instances=np.ones((10, 3, 8, 4), np.uint8), labels=np.arange(10) % 2)
    assert read_file(path).spec == ImageInput(shape=(3, 8, 4))


def test_a_plain_array_with_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(BadFile, match="not an npz file"):
        read_file(tmp_path / "a.npz")


def test_idx_labels_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(idx(np.zeros((2, 3, 3))))
    with pytest.raises(BadFile, match="labels-idx1"):
        read_file(images)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08")
    with pytest.raises(BadFile, match="train-labels-idx1-ubyte: an IDX file"):
        read_file(images)


def test_another_ending_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"\.csv or \.npz"):
        read(tmp_path, "a.parquet", "x")
