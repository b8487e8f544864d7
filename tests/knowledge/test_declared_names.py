"""Names that code declares and that are no symbols, in kinds of questions that need one; members that a type lacks."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import NOT_KNOWN, Answer
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

Of = Callable[[dict[str, str], str, str], Answer]

# A file whose line 2 declares HEAT_LIMIT, that is no symbol.
CONSTANTS = {
    "a.py": "class Oven:\n    HEAT_LIMIT = 5\n",
    "a.go": "package a\nconst HEAT_LIMIT = 5\n",
    "a.rs": "enum Oven {\n    HEAT_LIMIT,\n}\n",
    "a.ts": "enum Oven {\n  HEAT_LIMIT = 5,\n}\n",
    "a.js": "// Limits.\nconst HEAT_LIMIT = 5\n",
    "A.java": "class Oven {\n  static final int HEAT_LIMIT = 5;\n}\n",
    "a.cs": "class Oven {\n  const int HEAT_LIMIT = 5;\n}\n",
    "a.cpp": "enum class Oven {\n  HEAT_LIMIT,\n};\n",
    "a.c": "struct oven {\n  int HEAT_LIMIT;\n};\n",
    "a.rb": "class Oven\n  HEAT_LIMIT = 5\nend\n",
    "a.php": "<?php class Oven {\n  private const HEAT_LIMIT = 5;\n}\n",
    "a.kt": "enum class Oven {\n  HEAT_LIMIT,\n}\n",
    "a.swift": "enum Oven {\n  case HEAT_LIMIT\n}\n",
}
# An enumeration or type with the members `low` and `high`.
TYPES = {
    "a.py": "class Oven(Enum):\n    low = 1\n    high = 2\n",
    "a.go": "package a\n\ntype Oven struct {\n\tlow int\n\thigh int\n}\n",
    "a.rs": "enum Oven {\n    low,\n    high,\n}\n",
    "a.ts": "enum Oven {\n  low,\n  high,\n}\n",
    "a.js": "class Oven {\n  low() {}\n  high() {}\n}\n",
    "A.java": "enum Oven {\n  low,\n  high;\n}\n",
    "a.cs": "enum Oven {\n  low,\n  high,\n}\n",
    "a.cpp": "enum class Oven {\n  low,\n  high,\n};\n",
    "a.c": "enum Oven {\n  low,\n  high,\n};\n",
    "a.rb": "class Oven\n  def low; end\n  def high; end\nend\n",
    "a.php": "<?php enum Oven {\n  case low;\n  case high;\n}\n",
    "a.kt": "enum class Oven {\n  low,\n  high,\n}\n",
    "a.swift": "enum Oven {\n  case low\n  case high\n}\n",
}


@pytest.fixture
def of(engine: Engine, repository: GitRepository, ingested: Ingested) -> Of:
    """Return a function that answers a question of a kind on a repository of some files."""

    def answer(files: dict[str, str], kind: str, subject: str) -> Answer:
        repository.commit(files)
        ingested(repository)
        with engine.connect() as connection:
            snapshot = current_snapshot(connection, "project")
            return answers.of(connection, snapshot, ParsedQuestion(kind, subject))

    return answer


@pytest.mark.parametrize("path", CONSTANTS)
def test_where_a_name_is_declared_is_said_if_more_is_not_known(path: str, of: Of) -> None:
    for kind in ("similar", "calls", "members", "bases", "hotspot", "describe"):
        answer = of({path: CONSTANTS[path]}, kind, "HEAT_LIMIT")
        assert answer.understood.kind == kind
        assert f"{path}:2" in answer.words
        assert "no function, type or file has" not in answer.words
        assert [(item.path, item.line) for item in answer.evidence] == [(path, 2)]
        assert answer.limits


def test_each_declaration_of_a_name_is_said(of: Of) -> None:
    files = {name: CONSTANTS["a.php"].replace("Oven", name[0]) for name in ("A.php", "B.php")}
    words = of(files, "similar", "HEAT_LIMIT").words
    assert "HEAT_LIMIT, no function or type, is declared in A.php:2, B.php:2" in words


def test_what_a_function_raises_is_where_an_error_is_raised_that_is_no_function(of: Of) -> None:
    files = {
        "a.swift": "enum HeatError: Error {\n  case tooHot(Int)\n}\n\nfunc bake() throws {\n"
        "  throw HeatError.tooHot(1)\n}\n"
    }
    assert "tooHot is raised in bake (a.swift:6)" in of(files, "raises", "tooHot").words


def test_what_only_documents_name_is_not_declared(of: Of) -> None:
    files = {"a.py": "# HEAT_LIMIT is gone.\nv2 = 1\n"}
    assert of(files, "similar", "HEAT_LIMIT").understood.kind == NOT_KNOWN
    # What is declared elsewhere is not that of another library.
    assert of(files, "describe", "yaml.v2").understood.kind == NOT_KNOWN


@pytest.mark.parametrize("path", TYPES)
@pytest.mark.parametrize("separator", [".", "::"])
def test_a_type_without_a_member_is_answered_with_those_it_has(path: str, separator: str, of: Of) -> None:
    answer = of(
        {path: TYPES[path], f"other/{path}": TYPES[path].replace("Oven", "Grill").replace("low", "medium")},
        "members",
        f"Oven{separator}medium",
    )
    assert answer.understood.kind == "members"
    assert f"Oven ({path}:{3 if path == 'a.go' else 1}) has no member medium" in answer.words
    assert "low (line" in answer.words
    assert "high (line" in answer.words


@pytest.mark.parametrize("path", sorted(TYPES.keys() - {"a.js", "a.rb"}))
def test_a_field_that_is_asked_with_its_type_is_a_member(path: str, of: Of) -> None:
    assert "low is a member of Oven" in of({path: TYPES[path]}, "members", "Oven.low").words
