"""What holds for the image whoever builds it, read from its Dockerfile; `make image-test` builds and runs it."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lifelong.__main__ import app
from tests.deploy.dockerfile import Instruction, assignments, declared, ignore_patterns, stages

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
ABOVE, BUILD, FINAL = stages(TEXT)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CUDA_PACKAGE = re.compile(r"^(torch|triton|cuda-.*|nvidia-.*)==")


def only(stage: list[Instruction], word: str) -> Instruction:
    (found,) = [instruction for instruction in stage if instruction.word == word]
    return found


def locked() -> list[str]:
    return (ROOT / "requirements.lock").read_text().split()


def test_both_stages_begin_with_the_same_base_so_that_the_environment_can_be_copied() -> None:
    assert BUILD[0].rest == "${PYTHON_IMAGE} AS build"
    assert FINAL[0].rest == "${PYTHON_IMAGE}"
    assert assignments(ABOVE, "ARG")["PYTHON_IMAGE"].startswith("python:3.11-slim")


def test_nothing_is_taken_unpinned() -> None:
    assert "latest" not in TEXT
    assert re.fullmatch(r"\d+\.\d+\.\d+", assignments(BUILD, "ARG")["UV_VERSION"])
    installs = [line for stage in (BUILD, FINAL) for line in stage if "uv pip install" in line.rest]
    assert installs
    assert all("--no-deps" in line.rest for line in installs)


def test_the_final_stage_has_no_build_tools() -> None:
    copied = [instruction.rest for instruction in FINAL if instruction.word in {"COPY", "ADD"}]
    assert copied == ["--from=build /opt/lifelong /opt/lifelong"]


def test_it_runs_as_a_fixed_user_who_is_not_root() -> None:
    assert only(FINAL, "USER").rest == "1000:1000"
    after = FINAL[FINAL.index(only(FINAL, "USER")) :]
    assert not [instruction for instruction in after if instruction.word in {"RUN", "COPY", "ADD"}]


def test_state_lies_on_a_volume_that_belongs_to_that_user() -> None:
    assert only(FINAL, "VOLUME").rest == "/var/lib/lifelong"
    owned = "--owner=1000 --group=1000 --mode=700 /var/lib/lifelong"
    assert any(owned in instruction.rest for instruction in FINAL if instruction.word == "RUN")


def test_a_users_module_is_not_imported_from_where_the_service_writes() -> None:
    assert only(FINAL, "WORKDIR").rest == "/etc/lifelong"


def test_the_entry_point_is_lifelong_below_an_init() -> None:
    assert only(FINAL, "ENTRYPOINT").arguments == ["tini", "--", "lifelong"]


def test_the_default_command_is_one_that_lifelong_understands() -> None:
    name, *arguments = only(FINAL, "CMD").arguments
    command = typer.main.get_group(app).commands[name]
    values = command.make_context(name, arguments).params
    assert values["host"] == "0.0.0.0"
    assert values["state"] == Path(only(FINAL, "VOLUME").rest)
    assert str(values["port"]) == only(FINAL, "EXPOSE").rest


def test_serve_and_train_come_with_the_same_entry_point() -> None:
    assert {"up", "serve", "train"} <= set(typer.main.get_group(app).commands)


def test_health_is_asked_where_the_service_answers_by_default() -> None:
    check = only(FINAL, "HEALTHCHECK").arguments
    assert check[0] == "python"
    compile(check[-1], "HEALTHCHECK", "exec")
    assert "/v2/health/live" in check[-1]
    assert assignments(FINAL, "ENV")["LIFELONG_ADDRESS"] == f"http://127.0.0.1:{only(FINAL, 'EXPOSE').rest}"


def test_its_labels_say_what_it_is() -> None:
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in labelled().items()}
    assert labels["title"] == PROJECT["project"]["name"]
    assert labels["description"] == PROJECT["project"]["description"]
    assert labels["version"] == "${VERSION}"
    assert assignments(FINAL, "ARG")["VERSION"] == PROJECT["project"]["version"]
    assert {"revision", "base.name"} <= set(labels)


def labelled() -> dict[str, str]:
    labels = assignments(FINAL, "LABEL")
    assert all(name.startswith("org.opencontainers.image.") for name in labels)
    return labels


def test_no_secret_and_no_address_of_an_index_is_written_down() -> None:
    assert set(re.findall(r"https?://[^/'\"\s]+", TEXT)) == {"http://127.0.0.1:8000"}
    for stage in (ABOVE, BUILD, FINAL):
        for word in ("ARG", "ENV", "LABEL"):
            suspicious = [name for name in assignments(stage, word) if re.search("(?i)secret|token|passw|_key", name)]
            assert suspicious == []
    assert declared(FINAL) == {"PYTHON_IMAGE", "VERSION", "REVISION"}


def test_the_cpu_build_is_the_default_and_leaves_out_exactly_the_packages_of_cuda() -> None:
    assert assignments(BUILD, "ARG")["TORCH"] == "cpu"
    (pattern,) = re.findall(r"grep -Ev '([^']+)' requirements\.lock", TEXT)
    left_out = [line for line in locked() if re.search(pattern, line)]
    assert left_out == [line for line in locked() if CUDA_PACKAGE.search(line)]
    assert [line for line in left_out if line.startswith("torch==")]


def test_the_build_sees_the_packages_and_nothing_else() -> None:
    everything, *listed = ignore_patterns(ROOT / ".dockerignore")
    assert everything == "*"
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = ["README.md", "pyproject.toml", "requirements.lock"]
    assert sorted(listed) == sorted([*(f"!{name}" for name in [*packages, *files]), "**/__pycache__"])


def test_every_build_argument_is_documented() -> None:
    page = (ROOT / "docs" / "image.md").read_text()
    names = declared(ABOVE) | declared(BUILD) | declared(FINAL)
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_image_test_can_be_started() -> None:
    assert os.access(ROOT / "deploy" / "image-test", os.X_OK)
