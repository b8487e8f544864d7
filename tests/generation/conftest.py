"""The improvement loop on a small repository, with worker processes: what ends or hangs them is tried here."""

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.evolution import embedded
from qflow_dagster.evolution.matchers import Edit, apply_edits
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.generation import patches
from qflow_dagster.generation.candidates import Candidate, FileChange
from qflow_dagster.generation.generators.protocol import Fix, Request
from qflow_dagster.generation.repository_gates import Batch
from qflow_dagster.generation.validation import FileResult
from qflow_dagster.ingestion import repositories
from qflow_dagster.settings import settings
from tests.improvement_loop import NONE, Loop
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]


@pytest.fixture
def loop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Loop:
    return Loop(engine, repository, ingested)


RULES = {rule.id: rule for rule in load_rules()}


@pytest.fixture(autouse=True)
def rules_of_style(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn rules of style on: their changes are tried here, which are on is not the subject."""
    enabled = [rule.id for rule in RULES.values() if rule.cosmetic]
    monkeypatch.setenv("QFLOW_RULES_ENABLED", json.dumps(enabled))
    settings.cache_clear()


NODE = Path(sys.prefix, "node")


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TypeScript, fast-check and eslint, which `make setup-dev` installs, where the sandbox may see them."""
    if not (NODE / "bin" / "tsc").exists():
        pytest.skip("needs typescript, fast-check and eslint: make setup-dev, with npm")
    # Inside, /work is the folder of the command, and the project may lie in a folder of that name.
    return shutil.copytree(NODE, tmp_path_factory.mktemp("node") / "node", symlinks=True)


@pytest.fixture
def node_tools(node_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{node_folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", json.dumps([str(node_folder)]))
    settings.cache_clear()


DEEP = (
    "def deep(a):\n" + "".join(f"{'    ' * n}if a > {n}:\n" for n in range(1, 9)) + f"{'    ' * 9}return 1\n"
)


def request(rule: str = "python/comparison-to-none", code: str = NONE, path: str = "a.py") -> Request:
    return Request(
        repository="project",
        base="0" * 40,
        path=path,
        language="python",
        text=code,
        rule=RULES[rule],
        target="py311",
        findings=((2, "here"),),
    )


class Project:
    """A repository of these files, and candidates that change them."""

    def __init__(self, loop: Loop, files: Mapping[str, str]) -> None:
        self.loop, self.files = loop, files
        loop.repository.commit(files)
        loop.ingested(loop.repository)
        with loop.engine.connect() as connection:
            self.objects = repositories.find(connection, loop.name).objects
        self.snapshot = loop.snapshot()

    def batch(self) -> Batch:
        return Batch(self.loop.engine, self.objects, self.snapshot)

    def candidate(self, path: str, *replacements: tuple[str, str], language: str = "python") -> Candidate:
        """Return a candidate that replaces texts in a file, each at a location of its own."""
        inner = embedded.of_file(path, self.files[path])
        text, base = self.files[path] if inner is None else inner.code.text, self.snapshot.commit_oid
        edits = [Edit(text.index(old), text.index(old) + len(old), new) for old, new in replacements]
        lines = [text.count("\n", 0, edit.start) + 1 for edit in edits]
        fixes = tuple(Fix(line, line, (edit,)) for line, edit in zip(lines, edits, strict=True))
        after = apply_edits(text, edits)
        findings = tuple((line, "here") for line in lines)
        change = dataclasses.replace(
            request("python/not-in", text, path),
            language=language,
            base=base,
            findings=findings,
            embedded=inner,
        )
        patch = patches.make(self.objects, base, {path: change.file_with(after).encode()})
        file = FileChange(uuid4(), change, FileResult(after, fixes, [], ()))
        return Candidate(self.snapshot.repository_id, self.loop.name, base, patch, [file], ["rule-fix"])


def changes(loop: Loop) -> dict[str, list[str]]:
    """Return the changed lines of each suggested file, after the loop has run."""
    found: dict[str, list[str]] = {}
    for suggestion in loop.improve():
        with loop.engine.connect() as connection:
            patch = connection.scalar(
                text(
                    "SELECT c.patch FROM candidates c JOIN suggestions s ON s.candidate_id = c.id WHERE s.id = :id"
                ),
                {"id": suggestion["id"]},
            )
        path = ""
        for line in str(patch).splitlines():
            path = line.removeprefix("+++ b/") if line.startswith("+++ ") else path
            if line.startswith("+") and not line.startswith("+++"):
                found.setdefault(path, []).append(line[1:].strip())
    return found
