"""Files of images: what becomes of their pixels, and what no damaged or hostile file can do."""

import base64
import io
import zlib
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidInstance
from contracts.images import MAX_PIXELS, ImageFiles
from contracts.inputs import ImageInput

pytestmark = pytest.mark.unit
GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


def decode_image(content: bytes, shape: Sequence[int]) -> np.ndarray:
    return ImageFiles(shape).decode(content)


def encoded(pixels: np.ndarray, form: str = "PNG", mode: str | None = None, **options: object) -> bytes:
    image, content = Image.fromarray(pixels), io.BytesIO()
    (image.convert(mode) if mode else image).save(content, form, **options)
    return content.getvalue()


def test_a_png_is_its_pixels() -> None:
    np.testing.assert_array_equal(decode_image(encoded(GRAY), (8, 8)), GRAY)
    np.testing.assert_array_equal(decode_image(encoded(GRAY), (1, 8, 8)), GRAY[None])
    np.testing.assert_array_equal(decode_image(encoded(COLOUR), (3, 8, 6)), COLOUR.transpose(2, 0, 1))


def test_a_jpeg_is_nearly_its_pixels() -> None:
    found = decode_image(encoded(GRAY, "JPEG", quality=95), (8, 8)).astype(int)
    assert np.abs(found - GRAY).max() < 12


def test_another_size_is_scaled_and_another_mode_converted() -> None:
    large = np.kron(GRAY, np.ones((4, 4), np.uint8))
    found = decode_image(encoded(large), (8, 8)).astype(int)
    assert np.abs(found - GRAY).max() <= 8
    gray = decode_image(encoded(COLOUR), (8, 6))
    assert gray.shape == (8, 6)
    assert decode_image(encoded(GRAY), (3, 8, 8)).shape == (3, 8, 8)


def test_what_is_transparent_is_black() -> None:
    pixels = np.full((2, 2, 4), 255, np.uint8)
    pixels[0, 0, 3] = 0
    np.testing.assert_array_equal(decode_image(encoded(pixels), (2, 2)), [[0, 255], [255, 255]])
    assert decode_image(encoded(pixels), (4, 2, 2))[3, 0, 0] == 0


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    content = io.BytesIO()
    Image.fromarray(GRAY).save(content, "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(content.getvalue(), (8, 8)), GRAY[::-1, ::-1])


@given(st.integers(0, 400), st.binary(min_size=1, max_size=40))
def test_a_damaged_file_is_refused_or_read(place: int, noise: bytes) -> None:
    content = encoded(COLOUR)
    damaged = content[:place] + noise + content[place + len(noise) :]
    with suppress(InvalidInstance):
        assert decode_image(damaged, (3, 8, 6)).shape == (3, 8, 6)


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", encoded(GRAY)[:50], b"%PDF-1.4"],
    ids=["nothing", "GIF", "signature", "cut", "PDF"],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInstance, match="not a PNG or JPEG"):
        decode_image(content, (8, 8))


def test_a_file_that_claims_too_many_pixels_is_not_unpacked() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    png += (len(data) - 4).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    with pytest.raises(InvalidInstance, match="at most"):
        decode_image(png, (8, 8))


def test_the_files_of_a_request_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.images.MAX_PIXELS_TOGETHER", 3 * GRAY.size)
    files = ImageFiles((8, 8))
    for _ in range(3):
        files.decode(encoded(GRAY))
    with pytest.raises(InvalidInstance, match="those of a request"):
        files.decode(encoded(GRAY))


def test_a_large_photo_is_scaled_while_it_is_read() -> None:
    large = np.kron(GRAY, np.ones((100, 100), np.uint8))
    found = decode_image(encoded(large, "JPEG", quality=95), (8, 8)).astype(int)
    assert np.abs(found - GRAY).max() <= 12


def test_no_file_has_two_channels() -> None:
    with pytest.raises(InvalidInstance, match="channels"):
        decode_image(encoded(GRAY), (2, 8, 8))


def test_an_instance_may_be_a_file_beside_plain_ones() -> None:
    decode = InstanceDecoder(ImageInput(shape=(8, 8)))
    file = msgspec.json.encode({"b64": base64.b64encode(encoded(GRAY)).decode()})
    rows = decode.batch([file, msgspec.json.encode(GRAY.tolist())])
    np.testing.assert_array_equal(rows[0], rows[1])
    for bad in (b'{"b64":"%%%"}', b'{"b64":""}', b'{"b64":"YQ==","more":1}', b"{}"):
        with pytest.raises(InvalidInstance):
            decode(bad)
