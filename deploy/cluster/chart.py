"""The chart: its profiles, its rendering, and one release of it on a server."""

import shutil
from pathlib import Path
from typing import Any

from image.commands import Disproved, output
from image.engine import ROOT

from cluster.apiserver import ApiServer
from cluster.tools import program

CHART = ROOT / "helm" / "lifelong"
NAME = "lifelong"
SECONDS = 120


def profiles() -> list[Path]:
    """The values of every profile."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def render(profile: Path) -> str:
    """The objects of a profile, as YAML."""
    return output([program("helm"), "template", NAME, str(CHART), "--values", str(profile)], {}, SECONDS)


def require_documented(directory: Path) -> None:
    """Returns if the README is what helm-docs would write.

    Raises:
        Disproved: it is not.
    """
    copy = directory / "chart"
    shutil.copytree(CHART, copy)
    output([program("helm-docs"), "--chart-search-root", str(copy), "--log-level", "warning"], {}, SECONDS)
    if (copy / "README.md").read_text() != (CHART / "README.md").read_text():
        raise Disproved(f"{CHART.relative_to(ROOT)}/README.md is old; helm-docs writes it")
    shutil.rmtree(copy)


class Release:
    """One release of the chart in a namespace of its own."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self._server = server
        homes = {name: str(directory / "helm") for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
        self._environment = {"KUBECONFIG": str(server.kubeconfig), **homes}

    def install(self, profile: Path) -> str:
        """Installs the chart; returns its notes."""
        return self._helm("install", NAME, str(CHART), "--values", str(profile))

    def upgrade(self, profile: Path, *options: str) -> None:
        """Changes the release to other values.

        Raises:
            Disproved: they are refused.
        """
        self._helm("upgrade", NAME, str(CHART), "--values", str(profile), *options)

    def rollback(self) -> None:
        """Goes back to the first revision."""
        self._helm("rollback", NAME, "1")

    def uninstall(self) -> None:
        """Ends the release."""
        self._helm("uninstall", NAME)

    def service(self) -> Any:
        """The RayService as the server holds it."""
        return self._server.get(f"/apis/ray.io/v1/namespaces/{NAME}/rayservices/{NAME}")

    def is_served(self) -> bool:
        """Whether there is a RayService."""
        return self._server.is_there(f"/apis/ray.io/v1/namespaces/{NAME}/rayservices/{NAME}")

    def has_configuration(self, name: str) -> bool:
        """Whether there is a ConfigMap of this name."""
        return self._server.is_there(f"/api/v1/namespaces/{NAME}/configmaps/{name}")

    def has_state(self) -> bool:
        """Whether there is a claim for the state."""
        return self._server.is_there(f"/api/v1/namespaces/{NAME}/persistentvolumeclaims/{NAME}")

    def _helm(self, *arguments: str) -> str:
        return output([program("helm"), *arguments, "--namespace", NAME], self._environment, SECONDS)
