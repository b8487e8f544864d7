"""Calls refer to what the files declare, in each language; what could be several is not guessed."""

import re
from pathlib import Path

import yaml
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, callers
from qflow_dagster.knowledge.call_targets import CallResolver, Target
from qflow_dagster.knowledge.declarations import Declarations
from tests.ingestion.conftest import GitRepository, Ingested

FILES: dict[str, str] = yaml.safe_load((Path(__file__).parent / "calls.yaml").read_text())
EXPECTED = re.compile(r"(?:#|//) -> (?P<target>.+)$")


def _described(name: str, target: Target) -> str:
    if not target.definitions:
        return f"external {name}" if target.certain else f"perhaps {name}"
    places = ", ".join(sorted(f"{d.path} {d.name}" for d in target.definitions))
    return places if target.certain else f"perhaps {places}"


def _ordered(expected: str) -> str:
    perhaps, _, places = expected.rpartition("perhaps ")
    return "perhaps " * bool(perhaps or expected.startswith("perhaps")) + ", ".join(
        sorted(places.split(", "))
    )


def test_calls_refer_to_what_files_declare(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        declarations = Declarations(connection, snapshot)
        resolver = CallResolver(declarations)
        resolved: dict[tuple[str, int], set[str]] = {}
        for call in declarations.calls():
            described = _described(call.name, resolver.resolve(call))
            resolved.setdefault((call.path, call.line), set()).add(described)
        expected = {
            (path, number): _ordered(found["target"])
            for path, content in FILES.items()
            for number, line in enumerate(content.splitlines(), 1)
            if (found := EXPECTED.search(line))
        }
        wrong = {
            place: (target, resolved.get(place, set()))
            for place, target in expected.items()
            if target not in resolved.get(place, set())
        }
        assert not wrong, "\n".join(f"{k} {v}" for k, v in wrong.items())
        assert {Path(path).suffix for path, _ in expected} == {Path(p).suffix for p in FILES} - {".mod", ".h"}

        # Symbols of one name are told apart in answers.
        words = answers.answer(connection, snapshot, "who calls app/parsing.py:parse?").words
        assert "app/use.py" in words
        assert "parse.parse" not in words
        both = answers.answer(connection, snapshot, "who calls Store.Get").words
        assert "cmd/main.go" in both
        assert "a/a.go" not in both.partition("called in")[2]
        apart = answers.answer(connection, snapshot, "which functions call Writer.load?").words
        assert "Own.run (app/use.py:15)" in apart.partition("may also be called")[0]
        assert "later" in apart.partition("may also be called")[2]
        # A call of another function with the same name does not make one alive.
        assert [symbol.name for symbol in callers.uncalled(connection, snapshot, "c")[0]] == ["once", "run"]
        unused, functions = callers.uncalled(connection, snapshot, "app/unused.py")
        assert [symbol.name for symbol in unused] == ["parse"]
        assert functions >= len(unused)
