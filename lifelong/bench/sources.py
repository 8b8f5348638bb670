"""Data sets by name, or a user's own file, as labelled arrays."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from contracts.inputs import ImageInput
from lifelong.bench.files import read_file
from lifelong.bench.intents import read_intents
from lifelong.bench.stream import Arrays
from lifelong.data import DATA_DIR_VARIABLE, DataSet, mnist, small_digits
from lifelong.errors import MissingDataSet

NAMES = ("mnist", "digits", "clinc150")


class Source(NamedTuple):
    """A data set, and the groups that its labels come in, if any: each has as many as the next, in their order."""

    arrays: Arrays
    groups: tuple[str, ...] = ()


def open_source(name: str, environment: Mapping[str, str] = os.environ) -> Source:
    """A data set by its name, else a user's file: CSV, npz or IDX.

    Raises:
        MissingDataSet: it is neither a known name nor a file, or is not on this machine.
        BadFile: a file is not what it should be.
    """
    match name:
        case "mnist":
            return Source(images(_mnist(environment)))
        case "digits":
            return Source(images(small_digits()))
        case "clinc150":
            return clinc150(environment)
    if not Path(name).exists():
        expected = f"neither a file nor one of {', '.join(NAMES)}"
        raise MissingDataSet("unknown_data_set", f"--data {name}: {expected}")
    return Source(read_file(Path(name)))


def _mnist(environment: Mapping[str, str]) -> DataSet:
    """MNIST, or with the refusal what is at hand in its place."""
    try:
        return mnist(environment)
    except MissingDataSet as error:
        raise MissingDataSet(error.code, f"{error.detail}; or choose --data digits, which comes installed") from None


def clinc150(environment: Mapping[str, str] = os.environ) -> Source:
    """150 intents in ten domains of fifteen, domain after domain (Larson et al., 2019), from `$LIFELONG_DATA_DIR`.

    Raises:
        MissingDataSet: `missing_data_set`, if its two files are not there.
        BadFile: `bad_data_set`, naming the file and the entry that is damaged.
    """
    return Source(*read_intents(Path(environment.get(DATA_DIR_VARIABLE, "").strip()) / "clinc150"))


def images(data: DataSet) -> Arrays:
    """Images of digits as labelled arrays, their bytes as they are."""
    train, test = torch.from_numpy(data.train_images), torch.from_numpy(data.test_images)
    spec = ImageInput(shape=tuple(train.shape[1:]))
    names = [str(digit) for digit in range(10)]
    return Arrays(data.name, spec, names, train, data.train_labels, test, data.test_labels)
