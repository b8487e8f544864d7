"""Answers on a repository whose facts are known: right with evidence, or not known with the reason."""

import os

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers, git_facts, index, search
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

HEAT = "def warm(oven):\n    return oven + 1\n"
PREHEAT = """

def preheat(oven, size):
    if size > 9:
        raise OverflowError("too big")
    return warm(oven) * size
"""
BREAD = '''# keep this line first
"""Kneads and shapes loaves.

Licensed under the MIT licence.
"""


class Loaf:
    """A loaf with a crust that sings."""

    def __init__(self, grams):
        self.grams = grams

    def slices(self):
        return self.grams // 40


class Rye(Loaf):
    """Darker."""


def _unused_cache(loaf):
    return loaf
'''
COVERAGE = (
    '{"files": {"shop/oven.py": {"executed_lines": [1], "missing_lines": [2], '
    '"contexts": {"1": ["tests/test_bread.py::test_slices|run"]}}}}'
)
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\n"


@pytest.fixture
def bakery(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    """A shop of Python and Ruby with 14 chapters of documents, a rename, and a package that exports again."""
    repository.commit({"shop/heat.py": HEAT, "shop/__init__.py": ""}, "First oven")
    proof = "\n\ndef proof_dough():\n    return 0\n"
    repository.commit({"shop/heat.py": HEAT + PREHEAT + proof}, "Add preheat: large loaves came out raw", BOB)
    repository.git("tag", "v1.0")
    repository.git("mv", "shop/heat.py", "shop/oven.py")
    repository.commit({}, "Rename heat to oven", ANN)
    repository.commit(
        {"shop/oven.py": HEAT.replace("+ 1", "+ 2") + PREHEAT}, "Warmer", ("Cy", "cy@example.com")
    )
    chapter = (
        "The bakery system and its loaves\n================================\n\nIn the bakery codebase the loaf class "
        "is defined by what the baker implements: the bakery implements its loaf system. Chapter {}.\n"
    )
    repository.commit(
        {
            "shop/bread.py": BREAD,
            "shop/__init__.py": "from .bread import *\nfrom .oven import preheat\n",
            "tests/test_bread.py": "from shop import Loaf\n\n\ndef test_slices():\n    assert Loaf(80).slices() == 2\n",
            "bin/oven.rb": "def run_it\n  warm(3)\nend\n",
            "shop/settings.py": "import os\n\nHOME = os.environ['BAKERY_HOME']\nOVEN = os.getenv('OVEN', 'gas')\n",
            "LICENSE": MIT,
            "CODEOWNERS": "*.rst @writers\n/shop/ @bakers\n",
            "coverage.json": COVERAGE,
            "pyproject.toml": '[project]\nname = "bakery"\ndependencies = ["flour>=1"]\n'
            '[dependency-groups]\ndev = ["sieve"]\n[project.scripts]\nbake = "shop.oven:preheat"\n[tool.pytest]\n',
            "empty.py": "",
            **{f"docs/chapter{n}.rst": chapter.format(n) for n in range(14)},
        },
        "Bread and a book",
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    pipeline.compute_all(engine, snapshot.id)
    return snapshot


# Question, kind, words of the answer, places that the evidence names.
QUESTIONS = [
    ("Where is class Croissant defined?", "not known", ["Croissant"], []),
    ("Where is Loav defined?", "not known", ["near it: Loaf"], []),
    ("Where is the Loaf class defined in the project?", "defined", ["shop/bread.py"], [("shop/bread.py", 8)]),
    ("What classes inherit from Loaf?", "subclasses", ["Rye"], [("shop/bread.py", 18)]),
    ("What does Rye inherit from?", "bases", ["Loaf"], [("shop/bread.py", 8)]),
    ("Which function raises OverflowError?", "raised", ["preheat"], [("shop/oven.py", 7)]),
    ("Which functions or methods invoke warm?", "used", ["preheat"], [("shop/oven.py", 8)]),
    ("What are the methods of Loaf?", "members", ["__init__", "slices"], [("shop/bread.py", 14)]),
    ("What is Loaf?", "describe", ["A loaf with a crust that sings."], [("shop/bread.py", 8)]),
    ("Why was preheat added?", "introduced", ["Add preheat", "Bob", "v1.0"], [("shop/heat.py", None)]),
    ("Who wrote preheat?", "owner", ["Bob"], [("shop/oven.py", None)]),
    (
        "what does preheat call?",
        "calls",
        ["warm (shop/oven.py:1)"],
        [("shop/oven.py", 1), ("shop/oven.py", 8)],
    ),
    ("How are preheat and warm related?", "relation", ["preheat calls warm"], [("shop/oven.py", 8)]),
    ("is Rye related to Loaf?", "relation", ["Rye inherits from Loaf"], [("shop/bread.py", 18)]),
    ("how does tests/test_bread.py depend on shop/oven.py", "relation", ["imports shop/__init__.py"], []),
    ("how are BAKERY_HOME and Loaf related?", "not known", ["BAKERY_HOME"], []),
    ("When was src/yeast.py removed?", "not known", ["yeast"], []),
    (
        "when was shop/heat.py removed?",
        "removed",
        ["renamed to shop/oven.py", "Ann"],
        [("shop/heat.py", None)],
    ),
    ("who removed proof_dough?", "removed", ["Cy", "Warmer"], []),
    ("was warm removed?", "removed", ["was not removed", "shop/oven.py:1"], [("shop/oven.py", 1)]),
    ("what changed since v1.0?", "between", ["commits by", "shop/bread.py"], []),
    ("what changed in shop/oven.py between v1.0 and main", "between", ["2 commits", "shop/oven.py"], []),
    ("what is new in v1.0?", "not known", ["no release 'v1.0' with a release before it"], []),
    ("compare v1.0 and v9.9", "not known", ["no revision 'v9.9'"], []),
    ("Who works on what now?", "active", ["Ann", "Bob", "shop"], []),
    ("which environment variables are read?", "configuration", ["BAKERY_HOME (shop/settings.py:3"], []),
    (
        "which env vars are there, with defaults",
        "configuration",
        ["OVEN (shop/settings.py:4, default 'gas')"],
        [("shop/settings.py", 4)],
    ),
    (
        "what are the dependencies?",
        "requirements",
        ["flour", "for development sieve"],
        [("pyproject.toml", 3)],
    ),
    ("does it depend on flour?", "requirements", ["flour"], [("pyproject.toml", 3)]),
    ("does it depend on sugar?", "not known", ["sugar"], []),
    ("What is shop/bread.py for?", "purpose", ["Kneads and shapes", "class Loaf"], [("shop/bread.py", 1)]),
    ("what is the folder shop about?", "purpose", ["shop/oven.py"], []),
    ("where should I add another chapter like docs/chapter1.rst?", "placement", ["docs/"], []),
    ("where do I add a new function like warm", "placement", ["shop/", "added"], []),
    ("what exceptions does preheat raise?", "raises", ["OverflowError"], [("shop/oven.py", 7)]),
    ("which code is similar to shop/bread.py?", "similar", ["no other file shares"], [("shop/bread.py", 1)]),
    ("what should I do first?", "next", ["hotspot"], []),
    ("who owns shop/bread.py?", "owner", ["CODEOWNERS names @bakers"], [("CODEOWNERS", 2)]),
    ("tests of warm", "tests", ["executed 1 of 2 lines", "test_slices"], [("coverage.json", 1)]),
    ("where is numpy.linalg.warm defined?", "not known", ["numpy.linalg.warm"], []),
    ("where is shop.oven.warm defined?", "defined", ["shop/oven.py"], [("shop/oven.py", 1)]),
    ("Please tell me where Loaf is defined", "defined", ["shop/bread.py"], [("shop/bread.py", 8)]),
    ("where is Loaf defined so that it sings?", "defined", ["read as 'where is Loaf defined'"], []),
    (
        "when was shop/oven.py created?",
        "introduced",
        ["First oven", "as shop/heat.py"],
        [("shop/heat.py", None)],
    ),
    (
        "which tests cover shop/bread.py?",
        "tests",
        ["tests with its name: tests/test_bread.py"],
        [("tests/test_bread.py", 5)],
    ),
    ("which tests cover shop/settings.py?", "tests", ["no test has the name"], [("shop/settings.py", 1)]),
    ("what breaks if I change shop/bread.py?", "affected", ["shop/__init__.py", "tests/test_bread.py"], []),
    ("where is BAKERY_HOME read?", "word", ["shop/settings.py:3"], [("shop/settings.py", 3)]),
    ("what is the licence of this project?", "licence", ["MIT"], [("LICENSE", 1)]),
    ("what are the entry points?", "running", ["bake = shop.oven:preheat"], [("pyproject.toml", 7)]),
    ("how do I run the tests?", "testing", ["pytest"], [("pyproject.toml", 8)]),
    ("is there dead code in shop?", "dead", ["1 of 3 functions", "_unused_cache"], [("shop/bread.py", 22)]),
    (
        "is there dead code in shop/oven.py?",
        "dead",
        ["none found: each of 2 functions"],
        [("shop/oven.py", None)],
    ),
    ("is there dead code in shop/settings.py?", "not known", ["no functions in shop/settings.py"], []),
    ("which module kneads and shapes loaves?", "search", [], [("shop/bread.py", 1)]),
    ("Where does the bakery implement its loaf system?", "search", [], [("shop/bread.py", 8)]),
    ("what code divides grams by forty slices", "search", [], [("shop/bread.py", 14)]),
    (
        "Why does the control flow of `preheat` raise an error at all, and how does the class hierarchy of `Rye` "
        "influence the design?",
        "raises",
        [
            "only this is answered: which exceptions does preheat raise",
            "Rye (shop/bread.py",
            "inherits from Loaf",
        ],
        [("shop/oven.py", 7)],
    ),
    (
        "Why does the slices method of Loaf delegate so little, and what design pattern does that reflect?",
        "calls",
        ["what does Loaf.slices call", "calls nothing by name"],
        [],
    ),
    ("how is quantum flux attenuated in zirconium", "not known", ["no kind"], []),
]


def test_each_question_is_answered_with_evidence_or_not_known(engine: Engine, bakery: Snapshot) -> None:
    wrong = []
    with engine.connect() as connection:
        for question, kind, words, places in QUESTIONS:
            answer = answers.answer(connection, bakery, question)
            found = {(evidence.path, evidence.line) for evidence in answer.evidence}
            right = (
                answer.understood.kind == kind
                and all(word in answer.words for word in words)
                and found >= set(places)
                and (kind == "not known") == (not found)
            )
            wrong += (
                [] if right else [(question, answer.understood.kind, answer.words, sorted(map(str, found)))]
            )
    assert wrong == []


def test_callers_are_of_the_same_language(engine: Engine, bakery: Snapshot) -> None:
    with engine.connect() as connection:
        assert "oven.rb" not in answers.answer(connection, bakery, "who calls warm?").words


def test_search_ranks_code_before_documents_and_names_forms_that_work(
    engine: Engine, bakery: Snapshot
) -> None:
    with engine.connect() as connection:
        answer = answers.answer(connection, bakery, "Where does the bakery implement its loaf system?")
    assert str(answer.evidence[0].path).startswith("shop/")
    assert "Search results" in answer.words
    assert any(form.startswith("where is X") for form in answer.forms)


def test_a_release_that_git_does_not_find_in_time_is_not_known(
    engine: Engine, bakery: Snapshot, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_facts, "TAGS_TIMEOUT", 0.3)
    # Git waits for what nobody writes.
    os.mkfifo(repository.path / ".git" / "refs" / "tags" / "slow")
    with engine.connect() as connection:
        added = answers.answer(connection, bakery, "when was preheat added?")
        removed = answers.answer(connection, bakery, "when was shop/heat.py removed?")
    assert "which release has this commit first is not known: git for-each-ref took longer" in added.words
    assert "Bob" in added.words
    assert "which release has this commit first is not known" in removed.words
    assert "no release" not in removed.words


def test_what_has_no_release_yet_is_said_so(engine: Engine, bakery: Snapshot) -> None:
    with engine.connect() as connection:
        assert "in no release yet" in answers.answer(connection, bakery, "when was Loaf added?").words


def test_tests_beside_other_code_of_rust_are_found_by_name(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    library = "pub struct Sieve;\n\npub fn sift(_: Sieve) {}\n\n"
    tests = "#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn holds() {\n        let _ = Sieve;\n    }\n}\n"
    repository.commit({"src/lib.rs": library + tests, "src/main.rs": "fn main() {\n    let _ = Sieve;\n}\n"})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "which tests cover Sieve?"
        )
    assert [(evidence.path, evidence.line) for evidence in answer.evidence] == [("src/lib.rs", 11)]


def test_tests_of_a_file_have_its_name_or_call_what_it_defines(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    case = 'import "testing"\n\nfunc Test{0}(t *testing.T) {{\n\t{1}\n}}\n'
    repository.commit(
        {
            "go.mod": "module example.com/m\n",
            "ovens/oven.go": "package ovens\n\nfunc Heat() int { return 1 }\n",
            "ovens/oven_test.go": "package ovens\n\n" + case.format("Nothing", "_ = 1"),
            "ovens/warm_test.go": "package ovens\n\n" + case.format("Warm", "_ = Heat()"),
            "ovens/cold_test.go": "package ovens\n\n" + case.format("Cold", "_ = 2"),
            # Another Heat, and another language.
            "sun/sun.go": "package sun\n\nfunc Heat() int { return 2 }\n",
            "sun/sun_test.go": "package sun\n\n" + case.format("Sun", "_ = Heat()"),
            "test/oven_test.rb": "def test_oven\n  Heat()\nend\n",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "which tests cover ovens/oven.go?"
        )
    assert [(evidence.path, evidence.line) for evidence in answer.evidence] == [
        ("ovens/oven_test.go", 1),
        ("ovens/warm_test.go", 6),
    ]


def test_each_line_of_a_call_is_named(engine: Engine, repository: GitRepository, ingested: Ingested) -> None:
    repository.commit(
        {
            "clear.rs": "fn all() {\n    one(1);\n    one(2);\n    join();\n    one(3);\n}\n\nfn one(_: u8) {}\n",
            "clear.kt": "fun every() {\n    join()\n    single(1)\n    join()\n    single(2)\n}\n\nfun single(n: Int) {}\n",
            "long.py": "def long():\n" + "    print(short())\n" * 50 + "\n\ndef short():\n    return 1\n",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        rust = answers.answer(connection, snapshot, "what does all call?")
        kotlin = answers.answer(connection, snapshot, "what does every call?")
        long = answers.answer(connection, snapshot, "what does long call?")
    assert {2, 3, 4, 5} <= {evidence.line for evidence in rust.evidence}
    assert "one (clear.rs:8) (lines 2, 3, 5), join" in rust.words
    assert "calls single (clear.kt:8) (lines 3, 5), join (lines 2, 4)" in kotlin.words
    # What the repository defines comes first; the rest is said to be left out.
    assert [evidence.words for evidence in long.evidence[1:41]] == ["calls short"] * 40
    assert long.limits == ("of 100 calls in long, the lines of 40 are listed",)


def test_no_word_of_a_long_question_is_lost(engine: Engine, bakery: Snapshot) -> None:
    unknown = " ".join(f"abc{number}" for number in range(60))
    with engine.connect() as connection:
        assert search.files(connection, bakery, f"{unknown} slices grams")[0] == "shop/bread.py"
        assert [
            hit.name for hit in search.search(connection, bakery, f"{unknown} slices grams", limit=1)
        ] == ["Loaf.slices"]


def test_files_that_define_what_a_question_names_come_first(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "vendor/zone.py": "class ZoneInfo:\n    pass\n",
            "test/test_hours.py": "def test_zone_hours():\n    pass\n",
            "shop/day.py": "class Day:\n    pass\n",
            "shop/day.pyi": "class Day: ...\n",
            "test/test_day.py": "class Day:\n    pass\n",
            **{
                f"shop/part{n}.py": "def run_the_shop():\n    return 'zone hours of the day'\n"
                for n in range(9)
            },
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    with engine.connect() as connection:
        for question, path in (
            ("why does ZoneInfo run the shop", "vendor/zone.py"),
            ("what does test_zone_hours check of the shop", "test/test_hours.py"),
            ("how does Day.zone run the hours of the shop", "shop/day.py"),
        ):
            assert search.files(connection, snapshot, question)[0] == path
