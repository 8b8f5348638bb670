"""The custom resource definitions that the chart's objects are checked against, as their projects publish them."""

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import NamedTuple

from image.commands import Disproved

from cluster.tools import TOOLS

VARIABLE = "LIFELONG_CRDS_DIR"
HOST = "https://raw.githubusercontent.com"
PROMETHEUS = "prometheus-operator/prometheus-operator/6adcebc50/example/prometheus-operator-crd"


class Definition(NamedTuple):
    """One file, where it is published, and the digest of what was read there."""

    name: str
    source: str
    sha256: str


DEFINITIONS = (
    Definition(
        "ray.io_rayservices.yaml",
        "ray-project/kuberay/v1.7.0/helm-chart/kuberay-operator/crds/ray.io_rayservices.yaml",
        "0a8fc325e6e22b9231c1f282b309555e2ecf94227ca20a03df3d1d9a403907ab",
    ),
    Definition(
        "monitoring.coreos.com_podmonitors.yaml",
        f"{PROMETHEUS}/monitoring.coreos.com_podmonitors.yaml",
        "45a93443daa687d3654f7e9631909ff7edcdf3ec09c5e60251b74aa2722aee5d",
    ),
    Definition(
        "monitoring.coreos.com_prometheusrules.yaml",
        f"{PROMETHEUS}/monitoring.coreos.com_prometheusrules.yaml",
        "78be98554b9c8506ab2b4f4feb91c5f3a56e536a0a510f3a8e876a459970d56d",
    ),
    Definition(
        "kafka.strimzi.io_kafkatopics.yaml",
        "strimzi/strimzi-kafka-operator/8541da1e33/helm-charts/helm3/strimzi-kafka-operator/crds/043-Crd-kafkatopic.yaml",
        "4f2849dc0c8ddde306074648df5fb631fd43d042c4827f4391e97861596899a3",
    ),
)


def contents() -> list[bytes]:
    """The YAML of every definition: from the directory that LIFELONG_CRDS_DIR names, else kept or fetched.

    Raises:
        Disproved: a file is not there, or is not what it was.
    """
    return [_content(definition) for definition in DEFINITIONS]


def _content(definition: Definition) -> bytes:
    if VARIABLE in os.environ:
        path = Path(os.environ[VARIABLE]) / definition.name
        if not path.is_file():
            raise Disproved(f"{VARIABLE}: there is no {definition.name} in this directory")
        return path.read_bytes()
    kept = TOOLS / "definitions" / definition.sha256
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        content = _fetched(definition)
        if hashlib.sha256(content).hexdigest() != definition.sha256:
            raise Disproved(f"{definition.source} is not what it was")
        kept.write_bytes(content)
    return kept.read_bytes()


def _fetched(definition: Definition) -> bytes:
    try:
        with urllib.request.urlopen(f"{HOST}/{definition.source}", timeout=60) as answer:
            return bytes(answer.read())
    except OSError as error:
        detail = f"{definition.name} cannot be fetched ({error}); set {VARIABLE} to a directory that has it"
        raise Disproved(detail) from None
