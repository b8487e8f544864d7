"""When something was introduced: by the oldest line that declares it, not one that only names it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.declaring_lines import is_declaration
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested

BAKE = [
    "def bake(loaf):",
    "async def bake(loaf):",
    "class bake(Oven):",
    "func (o *Oven) bake() {",
    "func bake(",
    "pub(crate) fn bake<T>(loaf: T) {",
    "public static Loaf bake(int heat) {",
    "CLI_INLINE Option *Oven::bake(std::string loaf) {",
    "static inline std::string bake(void)",
    "#define bake(x) x",
    "const bake = async (loaf) => {",
    "exports.bake = function (loaf) {",
    "private int bake;",
    "public function &bake($loaf)",
    "override fun bake(loaf: Loaf) = 1",
    "Dictionary<string, int> bake(int heat)",
]
NO_BAKE = [
    "assert bake(0) == 1",
    "yield await auto(bake(item))",
    "yield bake (item)",
    "x = bake(1)",
    "class Rye(bake):",
    "class Rye : public bake {",
    "class Rye extends bake {",
    "def warm(loaf: bake):",
    "public bake warm(int heat) {",
    "struct bake *warm(void)",
    "return static::bake();",
    "if not bake (loaf):",
    "value, bake(loaf),",
    "heat: bake(loaf)",
    "(const bake &loaf)",
    "let loaf: bake",
    "# def bake(loaf):",
    "const bake = require('./bake')",
]


def test_a_line_that_only_names_something_declares_it_not() -> None:
    assert [line for line in BAKE if not is_declaration(line, "bake")] == []
    assert [line for line in NO_BAKE if is_declaration(line, "bake")] == []


# Files at one commit after another (None: removed), the name, and what is said of it. Ann makes the first commit.
HISTORIES = {
    "a type that was a value before": (
        [
            {"a.py": "from collections import namedtuple\n\nOven = namedtuple('Oven', 'heat')\n"},
            {"a.py": "import typing\n\n\nclass Oven(typing.NamedTuple):\n    heat: int\n"},
        ],
        "Oven",
        ["by Ann: 0 ("],
        [],
    ),
    "a mention before it": (
        [
            {"a.py": "def heat(x):\n    return warm(x)\n", "t.py": "assert warm(0) == 1\n"},
            {"a.py": "def warm(x):\n    return x\n\n\ndef heat(x):\n    return warm(x)\n", "t.py": None},
        ],
        "warm",
        ["by Bob: 1 ("],
        ["moved", "anew"],
    ),
    "a body that leaves a prototype": (
        [
            {
                "oven.hpp": "class Oven {\n  public:\n    int heat(int x) { return x; }\n};\nclass Pan {\n    int w;\n};\n"
            },
            {"pan.hpp": "class Till {\n    int heat(int x) { return 2; }\n};\n"},
            {
                "oven.hpp": "class Oven {\n  public:\n    int heat(int x);\n};\nclass Pan {\n    int w;\n};\n",
                "oven.cpp": '#include "oven.hpp"\nint Oven::heat(int x) {\n  return x;\n}\n',
            },
        ],
        "Oven::heat",
        ["by Ann: 0 (", "in oven.hpp; defined in oven.cpp", "by Bob"],
        [],
    ),
    "written anew": (
        [
            {"old.py": "class Oven:\n    def warm(self):\n        return 1\n", "b.py": "x = warm\n"},
            {"old.py": None},
            {
                "new.py": "class Oven:\n    x = 2\n\n    def warm(self, heat):\n        raise NotImplementedError\n"
            },
        ],
        "Oven.warm",
        ["by Ann: 0 (", "in old.py; written anew in new.py", "by Bob"],
        ["Not certain"],
    ),
    "of another type": (
        [
            {"old.py": "class Till:\n    def warm(self):\n        return 1\n", "b.py": "x = warm\n"},
            {"old.py": None},
            {
                "new.py": "class Oven:\n    x = 2\n\n    def warm(self, heat):\n        raise NotImplementedError\n"
            },
        ],
        "Oven.warm",
        ["by Bob: 2 ("],
        ["anew", "old.py"],
    ),
    "several before it": (
        [
            {"one.py": "def warm():\n    return 1\n", "b.py": "x = warm\n"},
            {"one.py": None},
            {"two.py": "def warm(a, b):\n    print(a, b)\n"},
            {"two.py": None},
            {"new.py": "def warm(c):\n    raise ValueError(c)\n"},
        ],
        "warm",
        ["by Ann: 0 (", "written anew in new.py", "Not certain: other declarations of warm"],
        [],
    ),
    "gone for a while, and nothing named it": (
        [
            {"old.py": "def warm():\n    return 1\n"},
            {"old.py": None},
            {"new.py": "def warm(c):\n    raise ValueError(c)\n"},
        ],
        "warm",
        ["by Bob: 2 ("],
        ["anew"],
    ),
    "a copy that stays for a while": (
        [
            {"old.py": "def warm():\n    return 1\n"},
            {"new.py": "def warm(c):\n    raise ValueError(c)\n"},
            {"old.py": None},
        ],
        "warm",
        ["by Bob: 1 (", "Not certain: old.py declared warm until later"],
        [],
    ),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_what_was_declared_before_was_introduced_then(
    case: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    commits, name, said, unsaid = HISTORIES[case]
    for number, files in enumerate(commits):
        for path in [path for path, content in files.items() if content is None]:
            (repository.path / path).unlink()
        written = {path: content for path, content in files.items() if content is not None}
        repository.commit(written, str(number), BOB if number else ANN)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        words = answers.of(connection, snapshot, ParsedQuestion("introduced", name)).words
    assert [part for part in said if part not in words] + [p for p in unsaid if p in words] == [], words


def test_the_definition_is_evidence_of_its_history(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    oven = "class Oven:\n    size = 1\n\n    @property\n    def heat(self):\n        return self.size\n"
    commit = repository.commit({"oven.py": oven, "oven.c": "int\nwarm(void)\n{\n  return 1;\n}\n"})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        found = {
            (kind, name): [
                (item.path, item.line)
                for item in answers.of(connection, snapshot, ParsedQuestion(kind, name)).evidence
                if item.commit == commit and item.line
            ]
            for kind in ("introduced", "history", "owner")
            for name in ("heat", "warm", "size")
        }
    lines = {"heat": ("oven.py", 5), "warm": ("oven.c", 2), "size": ("oven.py", 2)}
    assert found == {(kind, name): [lines[name]] for kind, name in found}
