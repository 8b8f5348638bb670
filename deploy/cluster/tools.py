"""Helm, its checkers and the API server: pinned Go modules, built once into the user's cache; etcd from Debian."""

import json
import os
import re
import shutil
from pathlib import Path

from image.commands import Disproved, aloud, output
from image.engine import CACHE

TOOLS = CACHE / "cluster"
PROGRAMS = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2",
}
UNITTEST = "github.com/helm-unittest/helm-unittest"
UNITTEST_MODULE = f"""
require {UNITTEST} v1.1.2
require helm.sh/helm/v3 v3.22.0
replace github.com/vmware-labs/yaml-jsonpath => github.com/helm-unittest/yaml-jsonpath v0.4.0
"""
"""Its own replacement does not count outside of its repository."""
KUBERNETES = "1.34.4"
SMALL = "-s -w"


def program(name: str) -> str:
    """The path of one of `PROGRAMS`."""
    path = TOOLS / "bin" / name
    if not path.exists():
        own = {"CGO_ENABLED": "0", "GOBIN": str(path.parent), "GOFLAGS": "-trimpath"}
        aloud(["go", "install", "-ldflags", SMALL, PROGRAMS[name]], own)
    return str(path)


def helm_unittest() -> str:
    """The path of helm-unittest."""
    return _built("helm-unittest", f"{UNITTEST}/cmd/helm-unittest", UNITTEST_MODULE, SMALL)


def api_server() -> str:
    """The path of kube-apiserver, which takes ten minutes to build.

    Kubernetes names its own parts by folders beside it; outside of its repository each is a module of the same number.
    """
    own = json.loads(output(["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"], {}, 600))
    parts = re.findall(r"(k8s\.io/\S+) => \./staging/", Path(own["GoMod"]).read_text())
    replaced = "".join(f"replace {part} => {part} v0{KUBERNETES.removeprefix('1')}\n" for part in parts)
    version, minor = "k8s.io/component-base/version", KUBERNETES.split(".")[1]
    flags = f"{SMALL} -X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}"
    module = f"require k8s.io/kubernetes v{KUBERNETES}\n{replaced}"
    return _built("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", module, flags)


def _built(name: str, package: str, module: str, flags: str) -> str:
    """The path of a program that is built in a module of its own, which says what it replaces."""
    path = TOOLS / name / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "go.mod").write_text(f"module {name}\n\ngo 1.24.0\n\n{module}")
        command = ["go", "build", "-C", str(path.parent), "-ldflags", flags, "-o", str(path), package]
        aloud(command, {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath"})
    return str(path)


def etcd() -> str:
    """The path of etcd, installed if this is Debian and we may."""
    if shutil.which("etcd") is None:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            raise Disproved("needs etcd; on Debian: apt-get install etcd-server")
        aloud(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "etcd-server"])
    return "etcd"
