"""What a type calls is what its methods call, each named, wherever they stand: in several parts, or outside of it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from tests.ingestion.conftest import GitRepository, Ingested

# The files of a type Oven with the methods warm and cool, where each of them calls `heat`, and warm calls it again.
FILES: dict[str, tuple[dict[str, str], dict[str, list[tuple[str, int]]]]] = {
    "Rust": (
        {
            "src/lib.rs": "pub struct Oven { a: u8 }\nfn heat() {}\nimpl Oven {\n    fn warm(&self) {\n        heat();\n"
            "        heat();\n    }\n}\nimpl Cool for Oven {\n    fn cool(&self) { heat(); }\n}\n"
        },
        {"warm": [("src/lib.rs", 5), ("src/lib.rs", 6)], "cool": [("src/lib.rs", 10)]},
    ),
    "Rust, generic": (
        {
            "src/lib.rs": "pub struct Oven<T> { a: T }\nfn heat() {}\nimpl<T> Oven<T> {\n    fn warm(&self) {\n        heat();\n"
            "        heat();\n    }\n}\nimpl<T> Cool for Oven<T> {\n    fn cool(&self) { heat(); }\n}\n"
        },
        {"warm": [("src/lib.rs", 5), ("src/lib.rs", 6)], "cool": [("src/lib.rs", 10)]},
    ),
    "Go": (
        {
            "a/a.go": "package a\n\ntype Oven struct{}\n\nfunc heat() {}\n\nfunc (o *Oven) warm() {\n\theat()\n\theat()\n}\n",
            "a/b.go": "package a\n\nfunc (o Oven) cool() {\n\theat()\n}\n",
        },
        {"warm": [("a/a.go", 8), ("a/a.go", 9)], "cool": [("a/b.go", 4)]},
    ),
    "Python": (
        {
            "a.py": "def heat():\n    pass\n\n\nclass Oven:\n    def warm(self):\n        heat()\n        heat()\n\n"
            "    def cool(self):\n        heat()\n"
        },
        {"warm": [("a.py", 7), ("a.py", 8)], "cool": [("a.py", 11)]},
    ),
    "C++": (
        {
            "oven.h": "void heat();\nclass Oven {\n  void warm();\n  void cool() { heat(); }\n};\n",
            "oven.cpp": '#include "oven.h"\nvoid Oven::warm() {\n  heat();\n  heat();\n}\n',
        },
        {"warm": [("oven.cpp", 3), ("oven.cpp", 4)], "cool": [("oven.h", 4)]},
    ),
    "C#": (
        {
            "A.cs": "partial class Oven {\n  void warm() {\n    heat();\n    heat();\n  }\n  void heat() {}\n}\n",
            "B.cs": "partial class Oven {\n  void cool() { heat(); }\n}\n",
        },
        {"warm": [("A.cs", 3), ("A.cs", 4)], "cool": [("B.cs", 2)]},
    ),
    "Ruby": (
        {
            "a.rb": "class Oven\n  def warm\n    heat()\n    heat()\n  end\n  def heat\n  end\nend\n",
            "b.rb": "class Oven\n  def cool\n    heat()\n  end\nend\n",
        },
        {"warm": [("a.rb", 3), ("a.rb", 4)], "cool": [("b.rb", 3)]},
    ),
    "Swift": (
        {
            "a.swift": "func heat() {}\nstruct Oven {\n  func warm() {\n    heat()\n    heat()\n  }\n}\n"
            "extension Oven {\n  func cool() { heat() }\n}\n"
        },
        {"warm": [("a.swift", 4), ("a.swift", 5)], "cool": [("a.swift", 9)]},
    ),
    "TypeScript": (
        {
            "a.ts": "function heat() {}\nclass Oven {\n  warm() {\n    heat()\n    heat()\n  }\n  cool() { heat() }\n}\n"
        },
        {"warm": [("a.ts", 4), ("a.ts", 5)], "cool": [("a.ts", 7)]},
    ),
    "Java": (
        {
            "Oven.java": "class Oven {\n  void warm() {\n    heat();\n    heat();\n  }\n  void heat() {}\n  void cool() { heat(); }\n}\n"
        },
        {"warm": [("Oven.java", 3), ("Oven.java", 4)], "cool": [("Oven.java", 7)]},
    ),
    "Kotlin": (
        {
            "a.kt": "fun heat() {}\nclass Oven {\n  fun warm() {\n    heat()\n    heat()\n  }\n  fun cool() { heat() }\n}\n"
        },
        {"warm": [("a.kt", 4), ("a.kt", 5)], "cool": [("a.kt", 7)]},
    ),
    "PHP": (
        {
            "a.php": "<?php\nclass Oven {\n  function warm() {\n    heat();\n    heat();\n  }\n  function cool() { heat(); }\n}\n"
        },
        {"warm": [("a.php", 4), ("a.php", 5)], "cool": [("a.php", 7)]},
    ),
}


@pytest.mark.parametrize("language", FILES)
def test_each_method_of_a_type_is_named_with_what_it_calls(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, lines = FILES[language]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(connection, current_snapshot(connection, "project"), "what does Oven call?")
    assert answer.understood.kind == "calls"
    found = {(item.path, item.line) for item in answer.evidence if item.words.startswith("calls")}
    assert found == {place for places in lines.values() for place in places}
    assert "in warm: heat" in answer.words
    assert "in cool: heat" in answer.words
    assert not answer.limits, answer.words
