"""Environment variables whose names are composed, or in a variable, are listed, and what is not certain is said."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, environment_names
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

# What is read, and the name that it has.
EXPRESSIONS = {
    '"PORT")': "PORT",
    '"LOG_" + name)': "LOG_{name}",
    'f"{prefix}_X", "1")': "{prefix}_X",
    "`LOG_${level.name}`]": "LOG_{level.name}",
    'fmt.Sprintf("LOG_%s", name))': "LOG_{}",
    'format!("LOG_{}_{level}", name))': "LOG_{}_{level}",
    '"LOG_#{name}", 1)': "LOG_{name}",
    "'LOG_' . $name)": "LOG_{$name}",
    'prefix + "_X")': "{prefix}_X",
    '$"LOG_{name}")': "LOG_{name}",
    '"LOG_\\(name)"]': "LOG_{name}",
    '"LOG_$name")': "LOG_{name}",
    "name)": None,
    '"no name at all")': None,
}
# A file that reads a variable of a composed name on its last line but one, and a default.
FILES = {
    "a.py": 'import os\n\nlevel = os.environ.get("LOG_" + name, "info")\n\n',
    "b.py": 'import os\nkey = f"LOG_{name}"\nlevel = os.getenv(key)\n\n',
    "a.js": "const level = process.env[`LOG_${name}`]\n\n",
    "a.ts": "const key: string = 'LOG_' + name\nconst level = process.env[key]\n\n",
    "a.go": 'package a\n\nvar level = os.Getenv("LOG_" + name)\n\n',
    "a.rs": 'fn f(name: &str) {\n    let key = format!("LOG_{name}");\n    std::env::var(key);\n}\n',
    "A.java": 'class A {\n  String level = System.getenv("LOG_" + name);\n}\n',
    "a.kt": 'val level = System.getenv("LOG_$name")\n\n',
    "a.cs": 'class A {\n  string level = Environment.GetEnvironmentVariable($"LOG_{name}");\n}\n',
    "a.rb": 'level = ENV["LOG_#{name}"]\n\n',
    "a.php": "<?php\n$level = getenv('LOG_' . $name);\n\n",
    "a.swift": 'let level = ProcessInfo.processInfo.environment["LOG_\\(name)"]\n\n',
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_names_are_read_with_their_parts(expression: str) -> None:
    name = environment_names.read(expression)
    assert (name.words if name else None) == EXPRESSIONS[expression]


def test_a_constant_has_the_name() -> None:
    found = environment_names.assigned('KEY = "PORT"\nother == KEY\nread(KEY)\n', 3, "self.KEY")
    assert found is not None
    assert (found[0].words, found[0].composed, found[1]) == ("PORT", False, 1)
    assert environment_names.assigned("KEY = other()\nread(KEY)\n", 2, "KEY") is None


@pytest.mark.parametrize("path", FILES)
def test_composed_names_are_listed_with_what_is_not_certain(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({path: FILES[path], "z.py": 'import os\n# os.getenv("NO")\nport = os.getenv("PORT")\n'})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("configuration", ""))
    line = FILES[path].count("\n") - 1
    name = "LOG_{$name}" if path == "a.php" else "LOG_{name}"
    assert "2 environment variables read" in answer.words, answer.words
    assert f"{name} ({path}:{line}" in answer.words
    assert (
        f"each of these is composed, or what has the name, and may be several variables: {name} ({path}:{line})"
        in (answer.limits[0] if "composed" in answer.limits[0] else answer.limits[1])
    )
    assert (path, line) in [(item.path, item.line) for item in answer.evidence]
    if path == "a.py":
        assert 'default "info"' in answer.words


@pytest.mark.parametrize(
    ("question", "expected", "lines"),
    [
        (
            "which environment variables does shop/a.py read?",
            "2 environment variables read, in shop/a.py:",
            {2, 3, 4},
        ),
        (
            "which environment variables are read in inn/b.py?",
            "1 environment variable read, in inn/b.py:",
            {2},
        ),
        (
            "which environment variables are read via os.environ?",
            "PORT (inn/b.py:2, default 1; also",
            {2, 3, 4},
        ),
        ("which environment variables are read?", "also shop/a.py:2, shop/a.py:4)", {2, 3, 4}),
    ],
)
def test_all_lines_that_read_a_variable_of_a_place_are_named(
    question: str,
    expected: str,
    lines: set[int],
    engine: Engine,
    repository: GitRepository,
    ingested: Ingested,
) -> None:
    read = 'import os\nx = os.getenv("PORT")\ny = os.getenv("HOST")\nz = os.environ["PORT"]\n'
    other = 'import os\nx = os.getenv("PORT", 1)\n'
    repository.commit({"shop/a.py": read, "inn/b.py": other, "tests/test_a.py": read})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(connection, current_snapshot(connection, "project"), question)
    assert expected in answer.words
    assert {item.line for item in answer.evidence} == lines


def test_a_file_that_reads_no_variable_is_not_answered_for_others(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": 'import os\nx = os.getenv("PORT")\n', "b.py": "x = 1\n"})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("configuration", "b.py"))
    assert "nothing in b.py reads an environment variable" in answer.words
