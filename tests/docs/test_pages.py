"""Every page can be reached, every link leads somewhere, and every configuration and command in a page exists."""

from pathlib import Path

import pytest
import yaml

from lifelong.settings import Settings, load_settings
from tests.docs import markdown
from tests.docs.markdown import DOCS, PAGES, Block
from tests.docs.programs import CHECKS, check, parts

pytestmark = pytest.mark.unit
LANGUAGES = {"", "text", "sh", "yaml", "python", "promql"}
BLOCKS = [block for page in PAGES for block in markdown.blocks(page)]
WALKED = {
    "README.md",
    "docs/erasure.md",
    "docs/kafka.md",
    "docs/label-studio.md",
    "docs/own-model.md",
    "docs/recovery.md",
    "docs/serving.md",
    "docs/tutorial.md",
    "docs/upgrade.md",
}
"""`test_walks.py` and `test_kafka.py` type what these say."""
READ = {
    "CONTRIBUTING.md": "the whole suite of tests",
    "docs/benchmarks.md": "hours of measuring",
    **dict.fromkeys(
        (f"docs/benchmarks/{table}.md" for table in ("avalanche", "clinc150", "parallel", "serving", "vandeven")),
        "hours of learning or measuring",
    ),
    "docs/compose.md": "a Docker engine with Compose",
    "docs/forgetting.md": "minutes of learning, and MNIST",
    "docs/image.md": "a Docker engine; `make image-test` does the same without one",
    "docs/scaling.md": "minutes of simulation",
    "docs/traces.md": "a collector of traces; `tests/lifelong/test_observed.py` has one, and JSON logs",
    "docs/kubernetes.md": "a Kubernetes cluster; `make cluster-test` shows what needs no nodes",
}
"""What the commands of these pages need and a test has not: they are only checked to exist."""


def identify(value: Path | Block) -> str:
    return markdown.name(value) if isinstance(value, Path) else value.page


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(markdown.navigation()) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere_in_the_repository_too(page: Path) -> None:
    for link in markdown.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in markdown.anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in markdown.blocks(page):
        assert block.language in LANGUAGES
        first = block.text.split(maxsplit=1)[0].rpartition("/")[2]
        assert block.language == "sh" or first not in CHECKS, "a command in a block that is no shell block"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=identify)
def test_a_configuration_is_accepted(tmp_path: Path, block: Block) -> None:
    document = yaml.safe_load(block.text)
    if document.keys() <= Settings.model_fields.keys():
        path = tmp_path / "model.yaml"
        whole = {"model": "pets", "input": {"kind": "image", "shape": [8, 8]}} | document
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        assert load_settings(path).model == whole["model"]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.commands()], ids=identify)
def test_a_command_can_be_typed(block: Block) -> None:
    for command in block.commands():
        if not command.startswith("post() "):
            _check_all(command)


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_a_command_in_a_sentence_exists(page: Path) -> None:
    for span in markdown.spans(page):
        program, *words = span.replace("[", "").replace("]", "").split() or [""]
        if words and program.removeprefix(".venv/bin/") in {"lifelong", "make", "python", "pytest"}:
            check([program, *words], is_exact=False)


def test_a_page_with_commands_is_walked_or_it_is_said_why_not() -> None:
    assert not WALKED & READ.keys()
    assert {block.page for block in BLOCKS if block.commands()} == WALKED | READ.keys()
    tests = "".join((Path(__file__).parent / name).read_text() for name in ("test_walks.py", "test_kafka.py"))
    assert not [page for page in WALKED if f'"{page.removeprefix("docs/")}"' not in tests]


def test_a_program_in_a_page_is_a_file_that_its_commands_use() -> None:
    """Those of `docs/client.md` are run by `tests/lifelong/test_client_service.py`."""
    programs = [block for block in BLOCKS if block.language == "python" and block.page != "docs/client.md"]
    assert programs
    assert all(block.title and block.page in WALKED for block in programs)


@pytest.mark.parametrize(
    "command",
    [
        "lifelong stauts",
        "lifelong status --jsn",
        "lifelong init mine.yaml --kind tensr",
        "lifelong up mine.yaml && make demmo",
        ".venv/bin/python -m benchmarks.nothing",
        ".venv/bin/python -m benchmarks.serving.swaps --markdwn",
        "docker run --rm lifelong tokn list model.yaml",
        "docker compose run --rm --entrypoint lifelong service token lst model.yaml",
        "kubectl apply --filename deploy/nothing.yaml",
        "unheard-of",
    ],
)
def test_a_command_with_a_slip_is_found(command: str) -> None:
    with pytest.raises(Exception, match=r"no |No such|nothing|tensr"):
        _check_all(command)


def _check_all(command: str) -> None:
    for words in parts(command):
        check(words, is_exact=True)
