"""A type is used by what takes it in, inherits from it or implements it; a change of it may break that first."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from tests.ingestion.conftest import GitRepository, Ingested

# The files, and how what uses Warm is said, with its line.
TAKING: dict[str, tuple[dict[str, str], str]] = {
    "PHP, a trait": (
        {
            "src/Warm.php": "<?php\nnamespace A;\ntrait Warm {\n  function heat() {}\n}\n",
            "src/Oven.php": "<?php\nnamespace A;\nclass Oven {\n  use Warm;\n}\n",
        },
        "1 type takes in Warm: Oven (src/Oven.php:4)",
    ),
    "PHP, an interface": (
        {
            "src/Warm.php": "<?php\nnamespace A;\ninterface Warm {\n  function heat();\n}\n",
            "src/Oven.php": "<?php\nnamespace A;\nclass Oven implements Warm {\n  function heat() {}\n}\n",
        },
        "1 type inherits from or implements Warm: Oven (src/Oven.php:3)",
    ),
    "Ruby": (
        {
            "warm.rb": "module Warm\n  def heat\n  end\nend\n",
            "oven.rb": "class Oven\n  include Warm\nend\n\nclass Stove\n  extend Warm\nend\n",
        },
        "2 types take in Warm: Oven (oven.rb:2), Stove (oven.rb:6)",
    ),
    "Python": (
        {
            "warm.py": "class Warm:\n    pass\n",
            "oven.py": "from warm import Warm\n\n\nclass Oven(Warm):\n    pass\n",
        },
        "1 type inherits from or implements Warm: Oven (oven.py:4)",
    ),
    "Java": (
        {"Warm.java": "interface Warm {\n}\n", "Oven.java": "class Oven implements Warm {\n}\n"},
        "1 type inherits from or implements Warm: Oven (Oven.java:1)",
    ),
    "C#": (
        {"Warm.cs": "interface Warm {\n}\n", "Oven.cs": "class Oven : Warm {\n}\n"},
        "1 type inherits from or implements Warm: Oven (Oven.cs:1)",
    ),
    "Rust": (
        {"src/lib.rs": "trait Warm {}\nstruct Oven;\nimpl Warm for Oven {}\n"},
        "1 type inherits from or implements Warm: Oven (src/lib.rs:3)",
    ),
    "Go": (
        {
            "a/a.go": "package a\n\ntype Warm interface {\n\theat()\n}\n\ntype Oven struct{}\n\nfunc (o Oven) heat() {}\n"
        },
        "1 type may inherit from or implement Warm: Oven (a/a.go:7)",
    ),
    "Swift": (
        {"a.swift": "protocol Warm {}\nstruct Oven: Warm {}\n"},
        "1 type inherits from or implements Warm: Oven (a.swift:2)",
    ),
    "TypeScript": (
        {"a.ts": "interface Warm {}\nclass Oven implements Warm {}\n"},
        "1 type inherits from or implements Warm: Oven (a.ts:2)",
    ),
}


@pytest.mark.parametrize("language", TAKING)
def test_what_takes_in_or_inherits_from_a_type_uses_it(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, said = TAKING[language]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for question in ("who uses Warm?", "what breaks if I remove Warm?"):
            answer = answers.answer(connection, snapshot, question)
            assert said in answer.words, answer.words
            path, line = said.rpartition("(")[2].rstrip(")").split(":")
            assert (path, int(line)) in {(item.path, item.line) for item in answer.evidence}
            assert "not named anywhere else" not in answer.words
            # The line of that is not said once more.
            assert "more line" not in answer.words
