"""What must hold for the chart, shown one after the other."""

import re
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from image.commands import Disproved, output, require, shown, until

from cluster import schemas
from cluster.apiserver import ApiServer, running
from cluster.chart import CHART, Release, profiles, render, require_documented
from cluster.definitions import contents
from cluster.tools import helm_unittest, program

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = ("lifelong", "kafka")
PUBLISHED_SECONDS = 120
MISSPELT = ("--set", "workers.replica=3")
NO_QUANTITY = ("--set", "head.resources.requests.cpu=plenty")


def main() -> int:
    """Shows everything; the exit status is 0 if all of it is so."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="lifelong-cluster-") as name:
            _show_rendering(Path(name))
            with running(Path(name)) as server:
                _show_installing(Path(name), server)
    except Disproved as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    shown(f"all of it in {time.monotonic() - started:.0f} s")
    return 0


def _show_rendering(directory: Path) -> None:
    """What needs no cluster; leaves every profile's objects in the directory."""
    for profile in profiles():
        output([program("helm"), "lint", "--strict", "--values", str(profile), str(CHART)], {}, 60, both=True)
        (directory / f"{profile.stem}.yaml").write_text(render(profile))
    shown(f"helm lints and renders {len(profiles())} profiles")
    tests = output([helm_unittest(), str(CHART)], {}, 120, both=True)
    (passed,) = re.findall(r"^Tests: +(.*)$", tests, re.MULTILINE)
    shown(f"helm-unittest: {passed}")
    require_documented(directory)
    shown("the chart's README is what helm-docs makes of its values")


def _show_installing(directory: Path, server: ApiServer) -> None:
    version = server.get("/version")["gitVersion"]
    for definition in contents():
        server.create(DEFINITIONS, definition)
    until(partial(schemas.are_published, server), PUBLISHED_SECONDS, "every definition is published")
    for namespace in NAMESPACES:
        server.create(
            "/api/v1/namespaces", f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}".encode()
        )
    shown(f"Kubernetes {version} knows RayService, KafkaTopic, PodMonitor and PrometheusRule")
    kinds = schemas.write(server, directory / "schemas")
    location = f"{directory}/schemas/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    for profile in profiles():
        rendered = str(directory / f"{profile.stem}.yaml")
        output([program("kubeconform"), "-strict", "-schema-location", location, rendered], {}, 120)
    shown(f"kubeconform, strict, against {kinds} schemas of that server: every profile")
    release = Release(server, directory)
    for profile in profiles():
        release.install(profile)
        release.uninstall()
    shown("every profile can be installed and uninstalled")
    _show_life(release)


def _show_life(release: Release) -> None:
    """One release from its install to its end, in two configurations."""
    minimal, full = (CHART / "ci" / f"{name}-values.yaml" for name in ("minimal", "full"))
    notes = release.install(minimal)
    require("curl -s -H" in notes, "the notes say how to ask it")
    first = release.service()
    require(first["spec"]["rayClusterConfig"]["authOptions"]["mode"] == "token", "Ray asks for a token")
    release.upgrade(full, "--set", "fullnameOverride=,nameOverride=")
    second = release.service()
    require(_models(first) != _models(second), "another configuration has another name, so that pods change")
    require(release.has_configuration(_models(first)), "the configuration of the first cluster is still there")
    shown("an upgrade with another configuration changes the pods, and leaves the first cluster its own")
    release.rollback()
    require(release.service()["spec"] == first["spec"], "after a rollback the RayService is as it was")
    shown("a rollback brings back the RayService as it was")
    named = _refused(lambda: release.upgrade(minimal, *MISSPELT))
    require("workers" in named and "replica'" in named, f"the misspelt key is named: {named}")
    shown("a misspelt value is refused by its name, before anything is sent")
    reason = _refused(lambda: release.upgrade(minimal, *NO_QUANTITY))
    require("requests.cpu" in reason, f"the API server names the field: {reason}")
    require(release.service()["spec"] == first["spec"], "nothing has changed")
    shown("a value that only the API server can judge is refused by it, and the service stays as it is")
    release.uninstall()
    require(not release.is_served(), "the RayService is gone")
    require(release.has_state(), "the volume with what was learned stays")
    shown("uninstalled: the RayService is gone, the volume with what was learned stays")


def _models(service: dict[str, Any]) -> str:
    pod = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    return str(volume["configMap"]["name"])


def _refused(action: Callable[[], object]) -> str:
    """The words of a refusal that must come."""
    try:
        action()
    except Disproved as fault:
        return str(fault)
    raise Disproved("not so: a bad value is refused")
