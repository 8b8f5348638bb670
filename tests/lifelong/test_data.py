"""Data sets are found, checked, or named as missing; never silently replaced by something broken."""

import gzip
import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from lifelong import data
from lifelong.data import demonstration_digits, mnist, mnist_directory, small_digits
from lifelong.errors import BadFile, MissingDataSet

pytestmark = pytest.mark.unit


def idx(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small data set of the published form, with its own checksums."""
    generator = np.random.default_rng(0)
    files = {}
    for name, count in zip(data.MNIST_SHA256, (30, 30, 10, 10), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        files[name] = idx(generator.integers(0, 10, shape))
    monkeypatch.setattr(data, "MNIST_SHA256", {name: hashlib.sha256(body).hexdigest() for name, body in files.items()})
    return files


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"LIFELONG_DATA_DIR": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def put(directory: Path, files: dict[str, bytes]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (directory / name).write_bytes(body)
    return directory


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
        """Nothing is logged."""


@pytest.fixture
def source(tmp_path: Path, published: dict[str, bytes]) -> Iterator[str]:
    directory = put(tmp_path / "source", published)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_mnist_is_read_from_the_data_directory(
    tmp_path: Path, published: dict[str, bytes], environment: dict[str, str]
) -> None:
    put(tmp_path / "data" / "mnist", published)
    found = demonstration_digits(environment)
    assert found.name == "MNIST"
    assert found.train_images.shape == (30, 28, 28)
    assert found.train_images.dtype == np.uint8
    assert found.test_labels.shape == (10,)


def test_an_altered_file_is_an_error_and_not_a_reason_to_fall_back(
    tmp_path: Path, published: dict[str, bytes], environment: dict[str, str]
) -> None:
    name = next(iter(published))
    put(tmp_path / "data" / "mnist", published | {name: published[name] + b"x"})
    with pytest.raises(BadFile, match="not the published file"):
        demonstration_digits(environment)


def test_without_mnist_the_demonstration_uses_the_small_digits(environment: dict[str, str]) -> None:
    assert mnist_directory(environment) is None
    assert demonstration_digits(environment).name == small_digits().name


def test_a_download_is_checked_and_kept(tmp_path: Path, environment: dict[str, str], source: str) -> None:
    assert mnist(environment, source).name == "MNIST"
    assert mnist_directory(environment) == tmp_path / "cache" / "lifelong" / "mnist"
    assert len(mnist(environment, "http://127.0.0.1:1").train_labels) == 30


def test_an_altered_download_is_not_kept(
    environment: dict[str, str], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MNIST_SHA256", dict.fromkeys(data.MNIST_SHA256, "0" * 64))
    with pytest.raises(BadFile, match="altered on the way"):
        mnist(environment, source)
    assert mnist_directory(environment) is None


def test_a_data_set_that_cannot_be_had_is_a_named_error(environment: dict[str, str]) -> None:
    with pytest.raises(MissingDataSet, match="MNIST is not here"):
        mnist(environment, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    "body",
    [b"not gzip", *(gzip.compress(each, mtime=0) for each in (b"", b"\x00\x00\x08\x03", b"\x00\x00\x0d\x01" * 4))],
)
def test_an_idx_file_that_is_none_is_a_named_error(
    tmp_path: Path,
    published: dict[str, bytes],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
) -> None:
    monkeypatch.setattr(data, "MNIST_SHA256", dict.fromkeys(published, hashlib.sha256(body).hexdigest()))
    put(tmp_path / "data" / "mnist", dict.fromkeys(published, body))
    with pytest.raises(BadFile, match="IDX"):
        demonstration_digits(environment)


def test_the_small_digits_are_split_the_same_way_every_time() -> None:
    one, other = small_digits(seed=3), small_digits(seed=3)
    assert np.array_equal(one.train_images, other.train_images)
    assert len(one.train_labels) + len(one.test_labels) == 1797
    assert one.train_images.max() == 255
    assert set(one.only([2, 3]).test_labels) == {2, 3}
