"""The history of what is declared and no symbol: fields, properties, constants, values of enums, attributes."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested

# The file, what it is before and after, and the name that came with that.
FILES = [
    ("a.cs", "class A {{\n  public int B {{ get; set; }}\n{}}}\n", "  public bool Warm {{ get; set; }}\n"),
    ("A.java", "class A {{\n  int b;\n{}}}\n", "  private final int Warm = 1;\n"),
    ("E.java", "enum A {{\n  B,\n{}  C\n}}\n", "  Warm,\n"),
    ("a.kt", "class A {{\n  val b = 1\n{}}}\n", "  val Warm = 1\n"),
    ("a.py", "B = 1\n{}", "Warm = 1\n"),
    ("b.py", "class A:\n    def __init__(self):\n        self.b = 1\n{}", "        self.Warm = 1\n"),
    ("a.ts", "interface A {{\n  b: number;\n{}}}\n", "  Warm: number;\n"),
    ("a.js", "export const B = 1;\n{}", "export const Warm = 1;\n"),
    ("a.go", "package a\n\ntype A struct {{\n\tB int\n{}}}\n", "\tWarm int\n"),
    ("a.rs", "enum A {{\n    B,\n{}}}\n", "    Warm,\n"),
    ("a.h", "enum A {{\n  B,\n{}  C\n}};\n", "  Warm,\n"),
    ("a.cpp", "class A {{\n  int b;\n{}}};\n", "  int Warm = 1;\n"),
    ("a.rb", "class A\n  B = 1\n{}end\n", "  Warm = 1\n"),
    ("a.php", "<?php\nclass A {{\n  const B = 1;\n{}}}\n", "  const Warm = 1;\n"),
    ("a.swift", "struct A {{\n  var b = 1\n{}}}\n", "  var Warm = 1\n"),
]


@pytest.mark.parametrize(("path", "around", "line"), FILES)
def test_what_is_no_symbol_has_a_history(
    path: str, around: str, line: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({path: around.format("")}, "First", ANN)
    added = repository.commit({path: around.format(line.format())}, "Warmer", BOB)
    repository.git("tag", "v1.1.0")
    repository.commit({path: around.format(line.format().replace("1", "2"))}, "Change", ANN)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("introduced", "Warm"))
        assert all(word in answer.words for word in ("by Bob: Warmer", "first released in v1.1.0")), (
            answer.words
        )
        assert added in [item.commit for item in answer.evidence]


def test_values_are_those_of_the_scope_and_followed_where_they_were(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    shop = "enum Heat {\n  LOW,\n  HIGH\n}\n"
    first = repository.commit({"Oven.java": f"class Oven {{\n  int size;\n}}\n{shop}"}, "First", ANN)
    repository.commit({"Oven.java": "class Oven {\n  int size;\n}\n", "Heat.java": shop}, "Move", BOB)
    repository.commit(
        {"Till.java": "class Till {\n  int size;\n  void f() { int coin = 1; }\n}\n"}, "Till", BOB
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")

        def said(kind: str, subject: str) -> str:
            return answers.of(connection, snapshot, ParsedQuestion(kind, subject)).words

        assert f"by Ann: First ({first[:10]}), in Oven.java; moved to Heat.java" in said("introduced", "HIGH")
        assert "Till.size (Till.java:2) was introduced" in said("introduced", "Till.size")
        assert "Oven.java" not in said("introduced", "Till.size")
        assert "Oven.size (Oven.java:2)" in said("introduced", "size")
        assert "Till.size (Till.java:2)" in said("introduced", "size")
        assert "Heat.HIGH (Heat.java:3) was last changed on" in said("history", "HIGH")
        assert "was written by Bob" in said("owner", "Till.size")
        assert "no function, type or file" in said("introduced", "nothing_of_that_name")


def test_what_declares_a_function_is_named_with_what_defines_it(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "a.h": "int warm(int degrees);\n\nclass Oven {\n public:\n  int warm(int degrees);\n};\n",
            "a.cpp": '#include "a.h"\n\nint warm(int degrees) { return degrees; }\n\n'
            "int Oven::warm(int degrees) { return degrees; }\n\nint use() { return warm(1); }\n",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        member = answers.answer(connection, snapshot, "where is Oven::warm defined?")
        free = answers.answer(connection, snapshot, "where is a.cpp:warm defined?")
    assert [(e.path, e.line) for e in member.evidence] == [("a.cpp", 5), ("a.h", 5)]
    assert ("a.h", 1) in [(e.path, e.line) for e in free.evidence]
