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


class EncodedImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image's file, in JSON as `{"b64": …}`."""

    b64: bytes


def decode_image(content: bytes, shape: Sequence[int]) -> NDArray[np.uint8]:
    """The pixels of a PNG or JPEG, scaled to `(height, width)` or `(channels, height, width)`.

    It is turned upright as its EXIF data says; what is transparent counts as black unless there are four channels.

    Raises:
        InvalidInstance: `bad_image` for what is no such file, or one of too many pixels; `wrong_shape` for a number of
            channels that images do not have.
    """
    from PIL import Image, ImageOps

    *first, height, width = shape
    mode = MODES.get(first[0] if first else 1)
    if mode is None:
        raise InvalidInstance("wrong_shape", f"files of images have {', '.join(map(str, MODES))} channels")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            if file.width * file.height > MAX_PIXELS:
                raise InvalidInstance("bad_image", f"an image may have at most {MAX_PIXELS} pixels")
            upright = ImageOps.exif_transpose(file)
            if mode != "RGBA" and upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)
            pixels = np.asarray(upright.convert(mode).resize((width, height), Image.Resampling.BILINEAR))
    except InvalidInstance:
        raise
    except Exception as error:  # Pillow raises whatever a damaged file makes its readers raise
        raise InvalidInstance("bad_image", "not a PNG or JPEG that can be read") from error
    return pixels if pixels.ndim == 2 and not first else _channels_first(pixels)


def _channels_first(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
