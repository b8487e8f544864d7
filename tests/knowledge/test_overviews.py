"""Totals and rankings, of the repository, a folder or a file: what is long is not what is complex."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers, index
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from qflow_dagster.knowledge.questions import ParsedQuestion
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import BOB, GitRepository, Ingested

LONG = "def long(loaf):\n" + "    loaf.turn()\n" * 30
COMPLEX = "def twisted(loaf):\n    for part in loaf:\n        if part:\n            while part:\n                part = 0\n"
FILES = {
    "shop/oven.py": f"{COMPLEX}\n\n{LONG}",
    "shop/knead.ts": "export function knead() {\n  return 1\n}\n",
    "shop/recipes.md": "Flour and water.\n" * 200,
    "shopping.py": "def longer():\n" + "    print(1)\n" * 50,
    "tests/test_oven.py": "def test_long():\n" + "    assert 1\n" * 90,
    "vendor/lib.py": "def longest():\n" + "    print(1)\n" * 400,
}
# Subject, file or folder, words of the answer in this order, words that it must not have, the first place of the evidence.
QUESTIONS = [
    (
        "longest functions",
        "shop/oven.py",
        ["long (shop/oven.py:8, 31 lines)", "twisted"],
        ["longer", "knead"],
        "shop/oven.py:8",
    ),
    ("longest functions", "shop", ["long (shop/oven.py:8", "twisted", "knead"], ["longer"], "shop/oven.py:8"),
    (
        "largest functions",
        "",
        ["longer", "long (", "those of tests", "test_long"],
        ["longest ("],
        "shopping.py:1",
    ),
    (
        "most complex functions",
        "shop",
        ["twisted (shop/oven.py:1, cognitive 6)", "long"],
        ["test_"],
        "shop/oven.py:1",
    ),
    (
        "largest files",
        "shop",
        ["of code", "shop/oven.py (38)", "other files", "shop/recipes.md (200)"],
        ["shopping"],
        "shop/oven.py:1",
    ),
    (
        "largest files",
        "",
        ["tests/test_oven.py", "shopping.py", "shop/oven.py"],
        ["vendor"],
        "tests/test_oven.py:1",
    ),
    ("most complex files", "shop", ["shop/oven.py (6)"], ["shopping"], "shop/oven.py:1"),
    ("most changed files", "shop", ["shop/oven.py (2)", "shop/knead.ts (1)"], ["shopping"], "shop/oven.py:1"),
    ("hotspots", "shop", ["the hotspots in shop are shop/oven.py"], ["shopping"], "shop/oven.py:1"),
    ("languages", "shop", ["languages in shop", "Python", "TypeScript"], [], None),
    ("files", "shop", ["3 files with 241 lines in shop"], [], None),
    (
        "authors",
        "shop/oven.py",
        ["2 commits changed shop/oven.py", "Bob (1 commit)", "Ann (1 commit)"],
        [],
        None,
    ),
    ("commits", "shop", ["2 commits changed shop"], [], None),
    ("functions", "shop", ["3 of kind function in shop"], [], None),
    (
        "longest functions",
        "twisted",
        ["long (shop/oven.py:8", "this is of all of shop/oven.py"],
        [],
        "shop/oven.py:8",
    ),
    ("longest functions", "shop/none.py", ["no file or folder", "shop/none.py"], [], None),
]


@pytest.fixture
def shop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    repository.commit({**FILES, "shop/oven.py": COMPLEX}, "First")
    repository.commit({"shop/oven.py": FILES["shop/oven.py"]}, "Turn", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    pipeline.compute_all(engine, snapshot.id)
    return snapshot


def test_overviews_of_places(engine: Engine, shop: Snapshot) -> None:
    wrong = []
    with engine.connect() as connection:
        for subject, place, words, others, first in QUESTIONS:
            answer = answers.of(connection, shop, ParsedQuestion("overview", subject, place))
            order = [answer.words.find(word) for word in words]
            places = [f"{item.path}:{item.line}" for item in answer.evidence if item.line]
            if (
                -1 in order
                or order != sorted(order)
                or any(word in answer.words for word in others)
                or (places[0] if places else None) != first
                or (answer.understood.kind == NOT_KNOWN) == bool(answer.evidence)
            ):
                wrong.append((subject, place, answer.words, places))
    assert wrong == []


# Files whose function `heat` has its name on line 4, after an annotation and a decorator's or comment's line, or what it returns.
ANNOTATED = {
    "a.py": "\n@cached\n@other(1)\ndef heat(x):\n    if x:\n        return 1\n",
    "A.java": 'class A {\n  @Deprecated\n  @SuppressWarnings("x")\n  void heat(int x) {\n    if (x > 1) { f(); }\n  }\n}\n',
    "a.kt": "\n@Deprecated\n@Other(1)\nfun heat(x: Int) {\n  if (x > 1) { f() }\n}\n",
    "A.cs": "class A {\n  [Obsolete]\n  [Other(1)]\n  void Heat(int x) {\n    if (x > 1) { F(); }\n  }\n}\n",
    "a.php": "<?php\n#[Pure]\n#[Other(1)]\nfunction heat($x) {\n  if ($x) { f(); }\n}\n",
    "a.rs": "\n#[inline]\n#[must_use]\nfn heat(x: u8) {\n  if x > 1 { f(); }\n}\n",
    "a.swift": "\n@inlinable\n@discardableResult\nfunc heat(x: Int) {\n  if x > 1 { f() }\n}\n",
    "a.cpp": "\nstatic\nstd::vector<int>\nheat(int x) {\n  if (x > 1) { f(); }\n}\n",
    "a.c": "\n/* Heats. */\nstatic unsigned long\nheat(int x) {\n  if (x > 1) { f(); }\n}\n",
}


@pytest.mark.parametrize("path", ANNOTATED)
def test_measured_functions_are_at_the_line_of_their_names(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({f"shop/{path}": ANNOTATED[path]})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    pipeline.compute_all(engine, snapshot.id)
    name = "Heat" if path == "A.cs" else "heat"
    questions = [
        ("overview", "longest functions", "shop"),
        ("overview", "most complex functions", f"shop/{path}"),
    ]
    questions += [
        ("hotspot", f"shop/{path}", ""),
        ("hotspot", name, ""),
        ("hotspot", "shop", ""),
        ("describe", name, ""),
    ]
    with engine.connect() as connection:
        for question in questions:
            answer = answers.of(connection, snapshot, ParsedQuestion(*question))
            places = [(item.path, item.line) for item in answer.evidence]
            assert (f"shop/{path}", 4) in places, (question, answer.words)


@pytest.mark.parametrize("folder", ["Bakery", "src/Bakery"])
def test_a_folder_goes_before_a_namespace_of_its_name(
    folder: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    code = "namespace Bakery {{\n  class {} {{\n    void Bake() {{ }}\n{}  }}\n}}\n"
    extra = folder.replace("Bakery", "Bakery.Extra")
    repository.commit(
        {f"{folder}/Oven.cs": code.format("Oven", "\n" * 9), f"{extra}/Till.cs": code.format("Till", "")}
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    pipeline.compute_all(engine, snapshot.id)
    with engine.connect() as connection:
        for subject in ("longest file", "longest functions", "commits"):
            answer = answers.of(connection, snapshot, ParsedQuestion("overview", subject, "Bakery"))
            assert folder in answer.words, answer.words
            assert "Till" not in answer.words
            assert not answer.limits
