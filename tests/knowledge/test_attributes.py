"""Fields, properties and attributes that are no symbols: where they are declared, set and used, and their history."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import Answer
from qflow_dagster.knowledge.questions import parse
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested

Ask = Callable[[str], Answer]

# A file with an attribute `heatLevel` of Oven, the line that declares it or sets it first, and those that set it and use it.
FILES = {
    "a.php": (
        "<?php\nclass Oven\n{\n    private ?int $heatLevel = 0;\n    function warm() {\n        $this->heatLevel = 3;\n        return $this->heatLevel;\n    }\n}\n",
        4,
        [6],
        [7],
    ),
    "a.py": (
        "class Oven:\n    other = 1\n    def __init__(self):\n        self.heatLevel = 0\n    def warm(self):\n        self.heatLevel = 3\n        return self.heatLevel\n",
        4,
        [4, 6],
        [7],
    ),
    "b.py": (
        "class Oven:\n    heatLevel: int = 0\n    def warm(self):\n        self.heatLevel = 3\n        return self.heatLevel\n",
        2,
        [4],
        [5],
    ),
    "a.rs": (
        "pub struct Oven {\n    pub(crate) heatLevel: u8,\n}\nimpl Oven {\n    fn warm(&mut self) -> u8 {\n        self.heatLevel = 3;\n        self.heatLevel\n    }\n}\n",
        2,
        [6],
        [7],
    ),
    "a.go": (
        "package a\n\ntype Oven struct {\n\theatLevel int\n}\n\nfunc (o *Oven) Warm() int {\n\to.heatLevel = 3\n\treturn o.heatLevel\n}\n",
        4,
        [8],
        [9],
    ),
    "Oven.java": (
        "class Oven {\n  private int heatLevel;\n  int warm() {\n    this.heatLevel = 3;\n    return heatLevel;\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "a.kt": (
        "class Oven {\n  var heatLevel: Int = 0\n  fun warm(): Int {\n    heatLevel = 3\n    return heatLevel\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "b.kt": (
        "class Oven(\n  private var heatLevel: Int\n) {\n  fun warm(): Int {\n    this.heatLevel = 3\n    return heatLevel\n  }\n}\n",
        2,
        [5],
        [6],
    ),
    "Oven.cs": (
        "class Oven {\n  public int heatLevel { get; set; }\n  int Warm() {\n    this.heatLevel = 3;\n    return heatLevel;\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "b.cs": (
        "class Oven {\n  private int heatLevel;\n  int Warm() {\n    heatLevel = 3;\n    return heatLevel;\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "a.swift": (
        "class Oven {\n  var heatLevel: Int = 0\n  func warm() -> Int {\n    self.heatLevel = 3\n    return heatLevel\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "a.rb": (
        "class Oven\n  attr_accessor :heatLevel\n  def warm\n    @heatLevel = 3\n    heatLevel\n  end\nend\n",
        2,
        [4],
        [5],
    ),
    "b.rb": ("class Oven\n  def warm\n    @heatLevel = 3\n    @heatLevel\n  end\nend\n", 3, [3], [4]),
    "a.c": (
        "struct Oven {\n  int heatLevel;\n};\nint warm(struct Oven *o) {\n  o->heatLevel = 3;\n  return o->heatLevel;\n}\n",
        2,
        [5],
        [6],
    ),
    "a.cpp": (
        "class Oven {\n  int heatLevel = 0;\n  int warm() {\n    this->heatLevel = 3;\n    return heatLevel;\n  }\n};\n",
        2,
        [4],
        [5],
    ),
    "a.ts": (
        "class Oven {\n  private heatLevel = 0\n  warm() {\n    this.heatLevel = 3\n    return this.heatLevel\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "b.ts": (
        "class Oven {\n  constructor(private heatLevel: number) {}\n  warm() {\n    this.heatLevel = 3\n    return this.heatLevel\n  }\n}\n",
        2,
        [4],
        [5],
    ),
    "a.js": (
        "class Oven {\n  #other = 1\n  constructor() {\n    this.heatLevel = 0\n  }\n  warm() {\n    this.heatLevel = 3\n    return this.heatLevel\n  }\n}\n",
        4,
        [4, 7],
        [8],
    ),
}


@pytest.fixture
def ask(engine: Engine, repository: GitRepository, ingested: Ingested) -> Callable[[dict[str, str]], Ask]:
    """Return a function that ingests files, of which Bob wrote the last ones, and returns one that asks about them."""

    def ingest(files: dict[str, str]) -> Ask:
        repository.commit({"README.md": "Ovens.\n"}, "First", ANN)
        repository.commit(files, "Heat", BOB)
        ingested(repository)

        def answer(question: str) -> Answer:
            with engine.connect() as connection:
                return answers.answer(connection, current_snapshot(connection, "project"), question)

        return answer

    return ingest


@pytest.mark.parametrize("path", FILES)
def test_an_attribute_has_lines_that_declare_set_and_use_it(
    path: str, ask: Callable[[dict[str, str]], Ask]
) -> None:
    content, declared, setting, using = FILES[path]
    asking = ask({path: content})
    for question in (
        "where is heatLevel used?",
        "where is Oven.heatLevel used?",
        "where is Oven.heatLevel set?",
        "where is the field heatLevel of Oven read?",
    ):
        answer = asking(question)
        assert {(path, line) for line in (declared, *setting, *using)} == {
            (item.path, item.line) for item in answer.evidence
        }, (question, answer.words)
        assert answer.words.count("set in ") == len(setting)
        assert not answer.limits
    assert f"{path}:{declared}" in asking("where is heatLevel defined?").words


@pytest.mark.parametrize("path", FILES)
def test_an_attribute_has_a_history(path: str, ask: Callable[[dict[str, str]], Ask]) -> None:
    content, declared, *_ = FILES[path]
    asking = ask({path: content})
    for question in (
        "when was the property heatLevel in Oven introduced?",
        "who wrote heatLevel?",
        "when was Oven.heatLevel last changed?",
    ):
        words = asking(question).words
        assert f".heatLevel ({path}:{declared})" in words, (question, words)
        assert "by Bob" in words


def test_members_of_other_types_with_the_name_are_said(ask: Callable[[dict[str, str]], Ask]) -> None:
    oven = "package a\n\ntype Oven struct {\n\tsize int\n}\n\ntype Till struct {\n\tsize int\n}\n"
    asking = ask({"a.go": oven})
    assert "what else has the name size (a.go:8) may be meant" in asking("where is Oven.size set?").words
    missing = asking("where is Oven.colour set?")
    assert not missing.evidence


def test_variables_of_php_are_no_properties(ask: Callable[[dict[str, str]], Ask]) -> None:
    code = "<?php\nclass Oven\n{\n    private $heat;\n    function warm() {\n        $heat = 1;\n        $this->heat += $heat;\n"
    asking = ask({"a.php": code + "        self::$heat++;\n    }\n}\n"})
    words = asking("where is $heat used?").words
    assert "declared in Oven (a.php:4)" in words
    assert "set in Oven.warm (a.php:7), set in Oven.warm (a.php:8)" in words


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("where is the field size of Box read?", "Box.size"),
        ("who wrote Box's size property?", "Box.size"),
        ("hey, the property `size` in Box, when was it introduced?", "Box.size"),
        ("which fields sit on Crumb?", "Crumb"),
        ("which field sits on Crumb?", "Crumb"),
    ],
)
def test_a_member_may_be_named_before_its_type(question: str, subject: str) -> None:
    assert parse(question).subject == subject
