"""Where a text that a question quotes comes from: strings of code, whole or in part, and what is raised there."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, quoted_texts
from tests.ingestion.conftest import GitRepository, Ingested

# A file that raises, and what the answer says of it.
RAISING = {
    "oven.py": (
        'class Oven:\n    def bake(self, heat):\n        raise ValueError(f"oven is too hot: {heat}")\n',
        ["raised in Oven.bake (oven.py:3: raise ValueError("],
    ),
    "oven.go": (
        'package shop\n\nimport "errors"\n\nfunc Bake() error {\n\treturn errors.New("oven is too hot")\n}\n',
        ['raised in Bake (oven.go:6: return errors.New("oven is too hot")'],
    ),
    "oven.rs": (
        'fn bake() -> Result<(), String> {\n    Err(format!("oven is too hot: {}", 1))\n}\n',
        ["raised in bake (oven.rs:2: Err(format!("],
    ),
    "oven.ts": (
        "export function bake(heat: number) {\n"
        "  if (heat) throw new RangeError(`oven is too hot: ${heat}`)\n  return heat\n}\n",
        ["raised in bake (oven.ts:2: throw new RangeError("],
    ),
    "oven.js": (
        "function bake() {\n  throw new TypeError(\n    'oven is too hot'\n  )\n}\n",
        ["raised in bake (oven.js:3: throw new TypeError("],
    ),
    "Oven.java": (
        "class Oven {\n  int bake(int heat) {\n"
        '    throw new IllegalStateException("oven is too hot: " + heat);\n  }\n}\n',
        ["raised in Oven.bake (Oven.java:3: throw new IllegalStateException("],
    ),
    "Oven.cs": (
        'class Oven {\n  int Bake() {\n    throw new System.Exception($"oven is too hot: {1}");\n  }\n}\n',
        ["raised in Oven.Bake (Oven.cs:3: throw new System.Exception("],
    ),
    "oven.cpp": (
        'struct Oven {\n  int bake() {\n    throw std::logic_error("oven is too hot");\n  }\n};\n',
        ["raised in Oven.bake (oven.cpp:3: throw std::logic_error("],
    ),
    "oven.c": (
        'int bake(void) {\n  fprintf(stderr, "oven is too hot: %d\\n", 1);\n  return 1;\n}\n',
        ["it is in bake (oven.c:2: fprintf(stderr"],
    ),
    "oven.rb": (
        'class Oven\n  def bake\n    raise ArgumentError, "oven is too hot"\n  end\nend\n',
        ["raised in Oven.bake (oven.rb:3: raise ArgumentError"],
    ),
    "oven.php": (
        "<?php\nclass Oven {\n  function bake() {\n    throw new LogicException('oven is too hot');\n  }\n}\n",
        ["raised in Oven.bake (oven.php:4: throw new LogicException("],
    ),
    "oven.kt": (
        'class Oven {\n  fun bake(): Int {\n    throw IllegalStateException("oven is too hot")\n  }\n}\n',
        ["raised in Oven.bake (oven.kt:3: throw IllegalStateException("],
    ),
    "oven.swift": (
        'class Oven {\n  func bake() throws {\n    throw Heat("oven is too hot")\n  }\n}\n',
        ["raised in Oven.bake (oven.swift:3: throw Heat("],
    ),
}


@pytest.mark.parametrize("path", RAISING)
def test_where_a_message_comes_from(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, said = RAISING[path]
    repository.commit({path: content})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        question = 'the log says "oven is too hot", what emits that and what exception is it?'
        words = answers.answer(connection, snapshot, question).words
    assert [part for part in said if part not in words] == [], words


def test_a_message_in_part_and_in_what_is_named(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    heat = "def heat():\n    raise OSError('no more gas in the ' + 'pipe of ' + NAME)\n"
    warm = "def warm():\n    raise OSError('no more gas in the tank')\n"
    repository.commit(
        {
            "oven.py": f"{heat}\n\n{warm}",
            "till.py": '"""Says no more gas in the pipe."""\n\nx = fill(1, 2)\n',
            "tests/test_oven.py": "def test_heat():\n    assert heat() == 'no more gas in the tank'\n",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")

        def ask(question: str) -> answers.Answer:
            return answers.answer(connection, snapshot, question)

        part = ask("users see \u201cNo more gas in the pipe of Bob\u201d, which function raises that?")
        whole = ask("sentry shows 'no more gas in the tank' coming out of warm, which line is it?")
        none = ask("we see 'Error creating instance of night' what throws it")
        code = ask("what is `fill(1, 2)` good for?")
        when = ask("which commit introduced 'no more gas in the tank' in warm?")
    assert part.words.partition("it is ")[2].startswith("raised in heat (oven.py:2:")
    assert part.limits == ("no line has all of the text; these have 'no more gas in the'",)
    assert [item.line for item in whole.evidence] == [6]
    assert none.words.startswith("no string of code has the text 'Error creating instance of night'")
    assert "read as" not in code.words
    assert when.limits == ("of the question, only where the text comes from is answered",)


def test_texts_in_quotes() -> None:
    questions = {
        "the log says 'too hot', why": "too hot",
        "it's what doesn't work when it's hot": "",
        "`bake` and \u2018much too hot\u2019": "much too hot",
        'where is "bake" called': "",
    }
    assert {question: quoted_texts.quoted(question) for question in questions} == questions
