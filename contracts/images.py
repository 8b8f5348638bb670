"""PNG and JPEG files as the whole numbers that an image model takes."""

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import InvalidInstance

FORMATS = ("PNG", "JPEG")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's names of the pixels that so many channels make."""
MAX_PIXELS = 16 << 20
"""Of a file, before it is scaled: a few kilobytes may claim to be any size."""
MAX_PIXELS_TOGETHER = 64 << 20
"""Of all files that are decoded together: so much takes about a second."""


class EncodedImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image's file, in JSON as `{"b64": …}`."""

    b64: bytes


def has_files(shape: Sequence[int]) -> bool:
    """Whether there are files of images with so many channels."""
    return (shape[0] if len(shape) > 2 else 1) in MODES


class ImageFiles:
    """Decodes the files of one request, scaled to `(height, width)` or `(channels, height, width)`.

    They are turned upright as their EXIF data says; what is transparent counts as black unless there are four channels.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        """Raises `InvalidInstance`: `wrong_shape` for a number of channels that images do not have."""
        *self._first, self._height, self._width = shape
        if not has_files(shape):
            raise InvalidInstance("wrong_shape", f"files of images have {', '.join(map(str, MODES))} channels")
        self._mode = MODES[self._first[0] if self._first else 1]
        self._pixels_left = MAX_PIXELS_TOGETHER

    def decode(self, content: bytes) -> NDArray[np.uint8]:
        """The pixels of a PNG or JPEG.

        Raises:
            InvalidInstance: `bad_image` for what is no such file, or too many pixels, in it or in all together.
        """
        try:
            pixels = self._pixels(content)
        except InvalidInstance:
            raise
        except Exception as error:  # Pillow raises whatever a damaged file makes its readers raise
            raise InvalidInstance("bad_image", "not a PNG or JPEG that can be read") from error
        if not self._first:
            return pixels
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _pixels(self, content: bytes) -> NDArray[Any]:
        from PIL import Image, ImageOps

        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            self._take(file.width * file.height)
            file.draft("RGB" if self._mode == "RGBA" else self._mode, (2 * self._width, 2 * self._height))
            upright = ImageOps.exif_transpose(file)
            if self._mode != "RGBA" and upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)
            size = (self._width, self._height)
            return np.asarray(upright.convert(self._mode).resize(size, Image.Resampling.BILINEAR))

    def _take(self, n_pixels: int) -> None:
        self._pixels_left -= n_pixels
        if n_pixels > MAX_PIXELS or self._pixels_left < 0:
            detail = f"an image may have at most {MAX_PIXELS} pixels, those of a request {MAX_PIXELS_TOGETHER}"
            raise InvalidInstance("bad_image", detail)
