"""Docker, or what Debian has in its place: how images are built here and containers run."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from image.commands import Disproved, aloud, output

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lifelong"
PACKAGES = ("aardvark-dns", "buildah", "debootstrap", "iptables", "netavark", "podman", "runc")
BASE = "localhost/python:3.11-slim"
HANDED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "TORCH_INDEX", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = "/run/secrets/certificates"


class Engine(NamedTuple):
    """How images are built and containers run here: the first words of a command for each."""

    build: list[str]
    run: list[str]
    environment: dict[str, str]

    def __call__(self, *arguments: str, seconds: float = 300) -> str:
        """The standard output of a command about containers."""
        return output([*self.run, *arguments], self.environment, seconds)


@contextlib.contextmanager
def found_engine() -> Iterator[tuple[Engine, list[str]]]:
    """Docker if its engine answers, else Debian's tools; with it, the options by which a build finds its base."""
    with contextlib.suppress(Disproved):
        output(["docker", "info"], {}, 30)
        yield Engine(["docker", "build"], ["docker"], {}), []
        return
    _require_packages()
    with tempfile.TemporaryDirectory(prefix="lifelong-image-", ignore_cleanup_errors=True) as name:
        engine = _debian_engine(Path(name))
        try:
            aloud([*engine.run, "import", "--quiet", str(_root_file_system(Path(name))), BASE], engine.environment)
            volume = _uv_cache()
            yield engine, [f"--build-arg=PYTHON_IMAGE={BASE}", "--pull-never", *volume]
        finally:
            _unmount(Path(name))


def _require_packages() -> None:
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise Disproved("needs a Docker engine, or Debian to do without one")
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = [package for package in PACKAGES if f"{package} installed" not in listed.splitlines()]
    if missing and os.geteuid() != 0:
        raise Disproved(f"without a Docker engine it needs these Debian packages: {' '.join(missing)}")
    if os.geteuid() != 0:
        raise Disproved("without a Docker engine it must run as root")
    if missing:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        aloud(["apt-get", "update", "-qq"], quiet)
        aloud(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], quiet)


def _debian_engine(directory: Path) -> Engine:
    """Buildah and podman with images, containers and volumes of their own; runc does without systemd, crun does not."""
    settings = {
        "containers.conf": '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        '[network]\nnetwork_backend = "netavark"\n',
        "storage.conf": '[storage]\ndriver = "overlay"\n'
        f'graphroot = "{directory}/images"\nrunroot = "{directory}/run"\n',
    }
    for name, text in settings.items():
        (directory / name).write_text(text)
    (directory / "temporary").mkdir()
    environment = {
        "CONTAINERS_CONF": str(directory / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
        "TMPDIR": str(directory / "temporary"),
    }
    build = ["buildah", "build", "--format=docker", "--isolation=chroot", "--network=host", "--layers=false"]
    return Engine(build, ["podman"], environment)


def _root_file_system(directory: Path) -> Path:
    """A tar file of Debian with Python 3.11, made once and kept."""
    kept = CACHE / "debian-12-python.tar"
    if not kept.exists():
        tree, packed = directory / "debian", directory / "debian.tar"
        include = "--include=ca-certificates,python3,python3-venv"
        aloud(["debootstrap", "--variant=minbase", include, "bookworm", str(tree)])
        aloud(["tar", "--create", f"--file={packed}", f"--directory={tree}", "."])
        shutil.rmtree(tree)
        CACHE.mkdir(parents=True, exist_ok=True)
        aloud(["mv", str(packed), f"{kept}.{os.getpid()}"])
        Path(f"{kept}.{os.getpid()}").rename(kept)
    return kept


def _uv_cache() -> list[str]:
    """Lends the build the wheels that this machine has already."""
    with contextlib.suppress(Disproved):
        directory = Path(output(["uv", "cache", "dir"], {}, 30).strip())
        if directory.is_dir():
            return [f"--volume={directory}:/var/cache/uv"]
    return []


def _unmount(directory: Path) -> None:
    """Podman leaves its store mounted upon itself."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in mounted if Path(point).is_relative_to(directory)), reverse=True):
        subprocess.run(["umount", point], check=False)


def built(engine: Engine, options: list[str], image: str) -> None:
    """Builds the image from the Dockerfile as it is."""
    variables = dict(engine.environment)
    if "PIP_INDEX_URL" in os.environ:
        variables["UV_DEFAULT_INDEX"] = os.environ.get("UV_DEFAULT_INDEX", os.environ["PIP_INDEX_URL"])
    arguments = [name for name in HANDED_ON if os.environ.get(name) or variables.get(name)]
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    if certificates:
        options = [*options, f"--secret=id=certificates,src={certificates}"]
        arguments += [f"SSL_CERT_FILE={CERTIFICATES}", f"PIP_CERT={CERTIFICATES}"]
    arguments.append(f"TORCH={_torch()}")
    words = [word for argument in arguments for word in ("--build-arg", argument)]
    aloud([*engine.build, *options, *words, "--tag", image, str(ROOT)], variables)


def _torch() -> str:
    """The build of PyTorch that was asked for; else the CPU's, or PyPI's where the CPU's index is out of reach."""
    if asked := os.environ.get("TORCH"):
        return asked
    if shutil.which("uv") is None or os.environ.get("TORCH_INDEX"):
        return "cpu"
    (torch,) = re.findall(r"^torch==.*$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    command = ["uv", "pip", "compile", "--quiet", "--no-deps", "--torch-backend=cpu", "--python-version=3.11", "-"]
    reached = subprocess.run(command, input=torch, capture_output=True, text=True, check=False).returncode == 0
    if not reached:
        sys.stderr.write("the index with PyTorch's CPU builds is out of reach: building with TORCH=cuda\n")
    return "cpu" if reached else "cuda"
