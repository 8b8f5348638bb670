"""The JSON of instances as rows: the one reading of REST, the log and Kafka."""

import copy
from collections.abc import Sequence

import msgspec

from contracts.errors import InvalidInstance
from contracts.images import ImageFiles, has_files
from contracts.inputs import ImageInput, InputSpec, describe
from contracts.specification import Rows


class InstanceDecoder:
    """Decodes the JSON of one instance in a single typed pass; build it once and reuse it."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._decoder = msgspec.json.Decoder(spec.instance_type)
        self._files: ImageFiles | None = None

    def for_request(self) -> "InstanceDecoder":
        """The same for the instances of one request, whose files of images are bounded together."""
        if not isinstance(self._spec, ImageInput) or not has_files(self._spec.shape):
            return self
        bounded = copy.copy(self)
        bounded._files = ImageFiles(self._spec.shape)
        return bounded

    def __call__(self, raw: bytes | msgspec.Raw) -> Rows:
        """Returns the encoded instance, of shape `row_shape`.

        Raises:
            InvalidInstance: `wrong_type`, `wrong_shape` or `out_of_range`.
        """
        row: Rows = self.batch([raw])[0]
        return row

    def batch(self, raws: Sequence[bytes | msgspec.Raw]) -> Rows:
        """Returns encoded instances `(n, *row_shape)`: several times faster than one by one when they are small.

        Raises:
            InvalidInstance: as for one; it does not say which instance is at fault.
        """
        try:
            instances = [self._decoder.decode(raw) for raw in raws]
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise InvalidInstance("wrong_type", f"an instance must be {describe(self._spec)}") from None
        if isinstance(self._spec, ImageInput):
            return self._spec.encode(instances, self._files)
        return self._spec.encode(instances)
