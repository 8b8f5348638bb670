"""What one instance looks like, and how it becomes a row of numbers: the same on the predict path and in training."""

import itertools
import math
import types
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from contracts.errors import InvalidInstance
from contracts.images import EncodedImage, ImageFiles
from contracts.specification import Rows, Specification
from contracts.stories import StoryInput

__all__ = [
    "ImageInput", "InputSpec", "Rows", "Specification", "StoryInput", "TabularInput", "TensorInput", "TextInput",
    "describe", "parse_input",
]  # fmt: skip

MAX_TEXT_CHARACTERS = 20_000


class TensorInput(Specification):
    """Numbers of a fixed shape, stored as float32."""

    kind: Literal["tensor"] = "tensor"
    shape: tuple[Annotated[int, Field(gt=0, le=1_000_000)], ...] = Field(min_length=1, max_length=4)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one encoded instance."""
        return self.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of encoded instances."""
        return np.dtype(np.float32)

    @cached_property
    def instance_type(self) -> Any:
        """The msgspec type that one JSON instance must have."""
        return nested_list(float, len(self.shape))

    def encode(self, instances: Sequence[Any] | Rows) -> Rows:
        """Encodes decoded instances, or an array of them, as rows `(n, *row_shape)`.

        Raises:
            InvalidInstance: `wrong_shape`, or `out_of_range` for what float32 cannot hold as a finite number.
        """
        with np.errstate(over="ignore"):
            rows = _as_array(instances, self.shape, np.float32)
        if not np.isfinite(rows).all():
            raise InvalidInstance("out_of_range", "an instance holds a number that is not finite in float32")
        return rows


class ImageInput(Specification):
    """Whole numbers from 0 to 255 of shape (height, width) or (channels, height, width), stored as uint8.

    An instance may also be `{"b64": …}`, a PNG or JPEG in base64, which is scaled to the shape.
    """

    kind: Literal["image"] = "image"
    shape: tuple[Annotated[int, Field(gt=0, le=10_000)], ...] = Field(min_length=2, max_length=3)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one encoded instance."""
        return self.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of encoded instances."""
        return np.dtype(np.uint8)

    @cached_property
    def instance_type(self) -> Any:
        """The msgspec type that one JSON instance must have."""
        return nested_list(int, len(self.shape)) | EncodedImage

    def encode(self, instances: Sequence[Any] | Rows, files: ImageFiles | None = None) -> Rows:
        """Encodes decoded instances, or an array of them, as rows `(n, *row_shape)`; `files` counts pixels beyond them.

        Raises:
            InvalidInstance: `wrong_shape`, `out_of_range` for a value outside 0–255, or as `ImageFiles`.
        """
        if isinstance(instances, np.ndarray) and instances.dtype == np.uint8:
            return _as_array(instances, self.shape, np.uint8)
        if any(isinstance(instance, EncodedImage) for instance in instances):
            files = files or ImageFiles(self.shape)
            instances = [files.decode(one.b64) if isinstance(one, EncodedImage) else one for one in instances]
        try:
            wide = _as_array(instances, self.shape, np.int64)
        except OverflowError:
            raise InvalidInstance("out_of_range", "an image value must be a whole number from 0 to 255") from None
        if wide.size and (wide.min() < 0 or wide.max() > 255):
            raise InvalidInstance("out_of_range", "an image value must be a whole number from 0 to 255")
        return wide.astype(np.uint8)


class TextInput(Specification):
    """A string, stored as hashed word and word-pair numbers: 0 is padding, so no vocabulary has to be known ahead."""

    kind: Literal["text"] = "text"
    max_tokens: int = Field(default=64, gt=0, le=4096)
    buckets: int = Field(default=32_768, gt=1, le=2**24)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one encoded instance."""
        return (self.max_tokens,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of encoded instances."""
        return np.dtype(np.int32)

    @property
    def instance_type(self) -> Any:
        """The msgspec type that one JSON instance must have."""
        return str

    def encode(self, instances: Sequence[str]) -> Rows:
        """Encodes strings as token numbers `(n, max_tokens)`, each in 0…buckets−1.

        Raises:
            InvalidInstance: `wrong_shape` for an empty or over-long text.
        """
        rows = np.zeros((len(instances), self.max_tokens), dtype=np.int32)
        for row, text in zip(rows, instances, strict=True):
            if not text.strip() or len(text) > MAX_TEXT_CHARACTERS:
                raise InvalidInstance("wrong_shape", f"a text must have 1 to {MAX_TEXT_CHARACTERS} characters")
            tokens = [1 + zlib.crc32(term.encode()) % (self.buckets - 1) for term in self.terms(text)]
            row[: len(tokens)] = tokens
        return rows

    def terms(self, text: str) -> list[str]:
        """The words and then the word pairs that become the text's tokens, at most `max_tokens`."""
        words = text.lower().split()
        pairs = [f"{left} {right}" for left, right in itertools.pairwise(words)]
        return (words + pairs)[: self.max_tokens]


class Scaled(Specification):
    """A column of numbers that is stored as (value − `mean`) / `std`: networks learn best from numbers around 0."""

    mean: float = Field(allow_inf_nan=False)
    std: float = Field(gt=0, allow_inf_nan=False)


class TabularInput(Specification):
    """An object with named columns; stored as float32.

    A column is `number`, taken as it is; `fitted`, a number that the network standardises by the first thousand rows it
    learns; a number to be scaled as said; or one of a list of categories, stored one-hot.
    """

    kind: Literal["tabular"] = "tabular"
    columns: dict[str, Literal["number", "fitted"] | Scaled | list[str]] = Field(min_length=1)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one encoded instance."""
        return (list(self.places.values())[-1].stop,)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where each column's numbers lie in a row."""
        widths = [len(kind) if isinstance(kind, list) else 1 for kind in self.columns.values()]
        ends = list(itertools.accumulate(widths))
        return {name: slice(end - width, end) for name, width, end in zip(self.columns, widths, ends, strict=True)}

    @cached_property
    def fitted_places(self) -> list[int]:
        """Which of a row's numbers the network standardises."""
        return [self.places[name].start for name, kind in self.columns.items() if kind == "fitted"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of encoded instances."""
        return np.dtype(np.float32)

    @property
    def instance_type(self) -> Any:
        """The msgspec type that one JSON instance must have."""
        return dict[str, float | str]

    def encode(self, instances: Sequence[dict[str, float | str]]) -> Rows:
        """Encodes objects as rows `(n, columns after one-hot)`.

        Raises:
            InvalidInstance: `wrong_shape` for missing or unknown columns, `out_of_range` for a bad value.
        """
        rows = [self._encode_one(instance) for instance in instances]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), *self.row_shape)

    def _encode_one(self, instance: dict[str, float | str]) -> list[float]:
        if instance.keys() != self.columns.keys():
            expected = ", ".join(sorted(self.columns))
            raise InvalidInstance("wrong_shape", f"an instance must have exactly the columns {expected}")
        row: list[float] = []
        for name, kind in self.columns.items():
            value = instance[name]
            if not isinstance(kind, list):
                row.append(_number(name, kind, value))
            elif value in kind:
                row.extend(1.0 if value == category else 0.0 for category in kind)
            else:
                raise InvalidInstance("out_of_range", f"column {name} must be one of its {len(kind)} categories")
        return row


def _number(name: str, kind: Literal["number", "fitted"] | Scaled, value: float | str) -> float:
    if not isinstance(value, str):
        number = (value - kind.mean) / kind.std if isinstance(kind, Scaled) else float(value)
        if abs(number) <= float(np.finfo(np.float32).max):
            return number
    raise InvalidInstance("out_of_range", f"column {name} must be a finite number")


InputSpec = Annotated[TensorInput | ImageInput | TextInput | TabularInput | StoryInput, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[InputSpec] = TypeAdapter(InputSpec)


def parse_input(value: dict[str, Any]) -> InputSpec:
    """Reads an input specification from its JSON form, as a version's `model.json` holds it."""
    return _ADAPTER.validate_python(value)


def describe(spec: InputSpec) -> str:
    """Says in a few words what one instance must be, for error details and documentation."""
    match spec:
        case TensorInput():
            return f"numbers of shape {list(spec.shape)}"
        case ImageInput():
            return f'whole numbers from 0 to 255 of shape {list(spec.shape)}, or a PNG or JPEG as {{"b64": …}}'
        case TextInput():
            return "a string"
        case TabularInput():
            return "an object with the columns " + ", ".join(sorted(spec.columns))
        case StoryInput():
            return "an object with a story, which is a list of sentences, and a question"


def nested_list(element: Any, depth: int) -> Any:
    """The msgspec type of lists of `element`, nested `depth` times."""
    nested = element
    for _ in range(depth):
        nested = types.GenericAlias(list, (nested,))
    return nested


def _as_array(instances: Sequence[Any] | Rows, shape: tuple[int, ...], dtype: Any) -> Rows:
    expected = (len(instances), *shape)
    try:
        rows = np.asarray(instances, dtype=dtype)
    except ValueError:
        raise InvalidInstance("wrong_shape", f"an instance must have the shape {list(shape)}") from None
    if rows.shape != expected and not (len(instances) == 0 and math.prod(rows.shape) == 0):
        raise InvalidInstance("wrong_shape", f"an instance must have the shape {list(shape)}")
    return rows.reshape(expected)
