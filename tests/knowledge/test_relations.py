"""How two places relate: the lines in the code of the one that have the name of the other."""

import re

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

# A file that declares Oven, one that declares Till, and the line of the second one that has its name.
FILES = [
    (
        "a.py",
        "class Oven:\n    pass\n",
        "b.py",
        "from a import Oven\n\n\nclass Till:\n    oven: Oven | None = None\n",
        5,
    ),
    (
        "a.ts",
        "export class Oven {}\n",
        "b.ts",
        'import { Oven } from "./a"\nclass Till {\n  oven?: Oven\n}\n',
        3,
    ),
    (
        "a.go",
        "package a\n\ntype Oven struct{}\n",
        "b.go",
        "package a\n\ntype Till struct {\n\toven *Oven\n}\n",
        4,
    ),
    ("a.rs", "pub struct Oven;\n", "b.rs", "use crate::a::Oven;\npub struct Till {\n    oven: Oven,\n}\n", 3),
    ("Oven.java", "class Oven {}\n", "Till.java", "class Till {\n  Oven oven;\n}\n", 2),
    ("a.kt", "class Oven\n", "b.kt", "class Till {\n  // Oven\n  var oven: Oven? = null\n}\n", 3),
    ("a.c", "struct Oven { int heat; };\n", "b.c", "struct Till {\n  struct Oven *oven;\n};\n", 2),
    (
        "a.h",
        "template <class T> class Oven {};\n",
        "b.h",
        '#include "a.h"\nclass Till {\n  typedef Oven<int> Ovens;\n};\n',
        3,
    ),
    ("A.cs", "class Oven { }\n", "B.cs", "class Till {\n  Oven oven;\n}\n", 2),
    ("a.rb", "class Oven\nend\n", "b.rb", "class Till\n  KIND = Oven\nend\n", 2),
    (
        "a.php",
        "<?php\nclass Oven { static function f() {} }\n",
        "b.php",
        "<?php\nclass Till {\n  function g() { return [Oven::class]; }\n}\n",
        3,
    ),
    ("a.swift", "class Oven {}\n", "b.swift", "class Till {\n  var oven: Oven?\n}\n", 2),
]


@pytest.mark.parametrize(("first", "oven", "second", "till", "line"), FILES)
def test_lines_that_have_the_name_of_the_other(
    first: str,
    oven: str,
    second: str,
    till: str,
    line: int,
    engine: Engine,
    repository: GitRepository,
    ingested: Ingested,
) -> None:
    repository.commit({first: oven, second: till})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for one, two in (("Till", "Oven"), ("Oven", "Till")):
            answer = answers.of(connection, snapshot, ParsedQuestion("relation", one, two))
            assert (
                f"Till names Oven: {till.splitlines()[line - 1].strip()!r} ({second}:{line})" in answer.words
            )
            assert (second, line) in [(item.path, item.line) for item in answer.evidence]


# Files with two types, Oven and Till, and the bases that both have.
COMMON = {
    "a.php": (
        "<?php\ninterface Heats {}\nabstract class Base implements Heats {}\nclass Oven extends Base {}\n"
        "class Till extends Oven2 implements Heats {}\nclass Oven2 extends Base {}\n",
        "both inherit from Base (a.php:3)",
    ),
    "a.py": (
        "class Base:\n    pass\n\n\nclass Oven(Base, ValueError):\n    pass\n\n\nclass Till(Base, ValueError):\n    pass\n",
        "both inherit from Base (a.py:1), ValueError",
    ),
    "a.rs": (
        "trait Heat {}\nstruct Oven;\nstruct Till;\nimpl Heat for Oven {}\nimpl Heat for Till {}\n",
        "both inherit from Heat (a.rs:1)",
    ),
    "a.cs": (
        "interface IHeat { }\npartial class Oven { }\npartial class Oven : IHeat { }\nclass Till : IHeat { }\n",
        "both inherit from IHeat (a.cs:1)",
    ),
    "a.rb": (
        "module Heat\nend\nclass Oven\n  include Heat\nend\nclass Till\n  include Heat\nend\n",
        "both inherit from Heat (a.rb:1)",
    ),
    "none.py": ("class Oven(object):\n    pass\n\n\nclass Till(object):\n    pass\n", "both are in none.py"),
}


@pytest.mark.parametrize("path", COMMON)
def test_what_two_types_have_in_common_is_said_first(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, words = COMMON[path]
    repository.commit({path: content})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("relation", "Oven", "Till"))
    assert answer.words.startswith(words), answer.words
    assert (path, int((re.findall(r":(\d+)\)", words) or ["1"])[0])) in [
        (row.path, row.line) for row in answer.evidence
    ]
