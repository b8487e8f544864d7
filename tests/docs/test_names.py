"""Names in backticks exist: modules, functions, files, commands and settings that prose mentions.

Prose is the documentation, and the docstrings and comments of the package.
"""

import ast
import importlib.util
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from qflow_dagster import cli
from qflow_dagster.cli import config
from qflow_dagster.settings import settings
from tests.test_repository_rules import tracked

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qflow_dagster"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^ *|[$;&|(] )qflow ([a-z][a-z-]*)((?: [a-z][a-z-]*(?:, [a-z][a-z-]*)*)?)")
CODE_SPAN = re.compile(r"(?<!`)(`{1,2})([^`\n]+)\1(?!`)")
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
# `a.b` of these is a file, not a name; that a .py file exists is checked.
FILE = re.compile(r"[\w./-]+\.(py|md|toml|ya?ml|json|txt|key|mod|tsv|svg|sh|css|js|lock|git|gz|swift)")
# Names that are not of this package: entry point groups, references in task graphs, placeholders, code of others.
OTHERS = {
    "qflow_dagster.generators", "qflow_dagster.tasks", "run.services", "run.files", "run.field", "task.field",
    "agent.NAME", "maintain_workflows_schedule", "pg_basebackup", "pg_dump", "io_uring",
    "kernel.apparmor_restrict_unprivileged_userns", "get_a", "get_b", "with_stderr", "with_stderr_data",
    "make.whitespace", "verify_path", "setup.cfg", "setup.py",
}  # fmt: skip
# What the changelog names that was renamed or removed since.
FORMER = {
    "QFLOW_EXECUTION_TASK_LANES", "brier_mended", "room_for_suggestions", "left_alone", "rule_lives", "rule_places",
    "believed_lower", "QFLOW_AGENTS_LEAST_FIT", "QFLOW_APPROVALS_LONGEST_TTL", "newest_branch", "mended_in_history",
    "of_these_kept",
}  # fmt: skip
FOREIGN = re.compile(r".*\.(com|org)|.*\bGROUP\.py")


class Code(NamedTuple):
    """What there is: names by module, modules by every ending of their dotted name, words of the source."""

    names: dict[str, set[str]]
    endings: dict[str, list[str]]
    words: set[str]


def names_in(tree: ast.AST) -> set[str]:
    """Every identifier of a syntax tree."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                found.add(value.rpartition(".")[2])
    return found


def docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """The expressions that are docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                yield first


@cache
def code() -> Code:
    names: dict[str, set[str]] = {}
    endings: dict[str, list[str]] = {}
    words: set[str] = set()
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text())
        names[module] = names_in(tree)
        for start in range(module.count(".") + 1):
            endings.setdefault(module.split(".", start)[-1], []).append(module)
        doc = {id(expression.value) for expression in docstrings(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in doc:
                words.update(re.findall(r"\w+", node.value))
    for path in (p for p in PACKAGE.rglob("*") if p.suffix in (".yaml", ".toml", ".html", ".scm")):
        words.update(re.findall(r"\w+", path.read_text()))
    words.update(row["setting"] for row in config._rows(settings(), ()))
    return Code(names, endings, words.union(*names.values()))


@cache
def files() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in tracked()]


def resolves(name: str) -> bool:
    """Whether a dotted name is a module of the package, something in one, or of an installed package."""
    there = code()
    parts = name.removesuffix("()").split(".")
    for length in range(len(parts), 0, -1):
        for module in there.endings.get(".".join(parts[:length]), ()):
            if there.names[module].issuperset(parts[length:]):
                return True
    head, rest = parts[0], parts[1:]
    if head in there.endings:
        return False
    variables = set().union(*there.names.values())
    if head in variables and variables.issuperset(rest):
        return True
    return importlib.util.find_spec(head) is not None


def problems(text: str) -> Iterator[str]:
    """The names in backticks that do not exist."""
    for _, span in CODE_SPAN.findall(text):
        if span in OTHERS or FOREIGN.fullmatch(span):
            continue
        if FILE.fullmatch(span):
            if (
                span.endswith(".py")
                and span not in OTHERS
                and not any(f"/{path}".endswith(f"/{span}") for path in files())
            ):
                yield span
        elif NAME.fullmatch(span) and "." in span:
            if not resolves(span):
                yield span
        elif re.fullmatch(r"[a-z]+(_[a-z0-9]+)+(\(\))?", span):
            name = span.removesuffix("()")
            if name not in code().words | code().endings.keys() and importlib.util.find_spec(name) is None:
                yield span


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_in_docstrings_and_comments_exist(path: Path) -> None:
    tree = ast.parse(path.read_text())
    prose = [str(ast.literal_eval(expression.value)) for expression in docstrings(tree)]
    with path.open("rb") as file:
        prose += [
            token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT
        ]
    assert sorted({problem for text in prose for problem in problems(text)}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_the_documentation_exist(page: Path) -> None:
    former = FORMER if page.name == "CHANGELOG.md" else set()
    assert sorted(set(problems(page.read_text())) - former) == []


@cache
def commands() -> dict[str, set[str]]:
    """The visible commands: noun -> verbs; a command without verbs has none."""
    root: Any = typer.main.get_command(cli.app)
    context = root.make_context("qflow", ["db", "url"], resilient_parsing=True)
    found: dict[str, set[str]] = {}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        verbs = getattr(command, "commands", {})
        found[name] = {verb for verb, sub in verbs.items() if not sub.hidden}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documentation_exist(page: Path) -> None:
    """`qflow NOUN VERB, VERB` in backticks, or in a line of a block."""
    there = commands()
    text = page.read_text()
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    lines += [span for _, span in CODE_SPAN.findall(BLOCK.sub("", text))]
    wrong = []
    for line in lines:
        for noun, verbs in COMMAND.findall(line):
            if noun not in there:
                wrong.append(f"qflow {noun}")
            elif there[noun]:
                named = re.findall(r"[a-z][a-z-]*", verbs)
                wrong += [f"qflow {noun} {verb}" for verb in named if verb not in there[noun]]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_the_documentation_exist(page: Path) -> None:
    mentioned = set(re.findall(r"QFLOW_[A-Z_]*[A-Z]\b", page.read_text()))
    former = FORMER if page.name == "CHANGELOG.md" else set()
    assert sorted(mentioned - code().words - former - {"QFLOW_TEST_DATABASE_URL"}) == []
