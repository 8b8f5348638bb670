"""JSON Schemas for kubeconform, out of what the API server publishes: its own kinds and the installed ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.apiserver import ApiServer

GROUPS = ("api/v1", "apis/apps/v1", "apis/networking.k8s.io/v1", "apis/policy/v1")
INSTALLED = {
    "apis/ray.io/v1": {"RayService"},
    "apis/kafka.strimzi.io/v1": {"KafkaTopic"},
    "apis/monitoring.coreos.com/v1": {"PodMonitor", "PrometheusRule"},
}
ALTERNATIVES = {"allOf", "anyOf", "oneOf", "not"}
"""What stands in them names some fields only of the object that they are about."""


def are_published(server: ApiServer) -> bool:
    """Whether the server publishes every installed kind; it does so some seconds after it takes a definition."""
    return all(server.is_there(f"/openapi/v3/{group}") for group in INSTALLED) and all(
        kinds <= {name.rpartition(".")[2] for name in _published(server, group)} for group, kinds in INSTALLED.items()
    )


def write(server: ApiServer, directory: Path) -> int:
    """Writes one file a kind, named as kubeconform looks for it, and returns how many."""
    directory.mkdir()
    written = 0
    for group in (*GROUPS, *INSTALLED):
        schemas = _published(server, group)
        for schema in schemas.values():
            _close(schema)
        for name, kind in _kinds(schemas, group):
            root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
            (directory / f"{kind}.json").write_text(json.dumps(root))
            written += 1
    return written


def _published(server: ApiServer, group: str) -> dict[str, Any]:
    schemas: dict[str, Any] = server.get(f"/openapi/v3/{group}")["components"]["schemas"]
    return schemas


def _kinds(schemas: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    group, _, version = path.partition("/")[2].rpartition("/")
    for name, schema in schemas.items():
        for known in schema.get("x-kubernetes-group-version-kind", []):
            if (known["group"], known["version"]) == (group, version):
                yield name, "-".join(filter(None, (known["kind"].lower(), group.partition(".")[0], version)))


def _close(schema: Any) -> None:
    """Allows no field that is not named, as the API server does when it is asked to be strict."""
    if isinstance(schema, list):
        for item in schema:
            _close(item)
    elif isinstance(schema, dict):
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
        if isinstance(schema.get("properties"), dict) and not is_open:
            schema.setdefault("additionalProperties", False)
        for name, item in schema.items():
            if name not in ALTERNATIVES:
                _close(item)
