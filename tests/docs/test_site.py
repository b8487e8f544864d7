"""The documentation site: every page is in its menu, every link leads somewhere, and it can be built."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymdownx.slugs import slugify

from tests.test_repository_rules import tracked

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MARKDOWN = [path for path in tracked() if path.suffix == ".md"]
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def menu(entries: Any) -> Iterator[str]:
    """The pages of a navigation."""
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from menu(value) if isinstance(value, list) else [value]


def test_the_menu_has_every_page() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(menu(project["nav"])) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_table_of_packages_is_the_order_of_imports() -> None:
    [contract] = [
        contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
            "contracts"
        ]
        if contract["type"] == "layers"
    ]
    layers = re.findall(r"qflow_dagster\.(\w+)", " ".join(contract["layers"]))
    rows = re.findall(r"^\| (`[^|]+) \|", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == layers


def test_no_page_is_too_long_to_be_read_at_a_sitting() -> None:
    lengths = {str(page.relative_to(ROOT)): len(page.read_text().splitlines()) for page in MARKDOWN}
    assert [
        (name, lines) for name, lines in lengths.items() if lines > (200 if name == "README.md" else 300)
    ] == []


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in [slugify(case="lower")(heading, "-") for heading in headings], link


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.name)
def test_the_reference_names_what_exists(page: Path) -> None:
    for module, options in re.findall(r"^::: (\S+)\n((?: .*\n)*)", page.read_text(), re.MULTILINE):
        found = importlib.import_module(module)
        members = re.findall(r"^ +- (\w+)$", options, re.MULTILINE)
        assert [member for member in members if not hasattr(found, member)] == [], module


def test_it_can_be_built(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "zensical.toml").write_text(
        (ROOT / "zensical.toml").read_text().replace('paths = ["."]', f'paths = ["{ROOT}"]')
    )
    build = [str(Path(sys.executable).with_name("zensical")), "build", "--strict"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "create_workflow" in (tmp_path / "site" / "api" / "durable_core" / "index.html").read_text()
