"""Answers say what they may leave out: each line that has a name is accounted for, or said not to be."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import Answer
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

FILES = {
    "shop/oven.py": (
        "LIMIT = 250\n\n\nclass Heat:\n    def warm(self):\n        if LIMIT:\n            raise Cold()\n\n\n"
        "class Gas(Heat):\n    pass\n\n\nclass Cold(Exception):\n    pass\n\n\n"
        "def bake(loaf):\n    def turn():\n        return loaf.flip()\n\n    return turn\n\n\n"
        "def cool():\n    '''Cool it: raise the lid.'''\n    error = Cold()\n    raise error\n"
    ),
    "shop/table.py": "from shop.oven import bake\n\nSTEPS = {'bake': bake}\n",
    "shop/pages/oven.tmpl": "{{ bake(loaf) }}\n",
    "java/a/Crust.java": "package a;\n\npublic class Crust {\n  int grams;\n}\n",
    "java/a/Loaf.java": "package a;\n\nclass Loaf {\n  Crust crust;\n}\n",
    "go.mod": "module example.com/m\n",
    "oven/oven.go": (
        "package oven\n\ntype Heater interface {\n\tHeat() int\n}\n\ntype Kind int\n\ntype Base struct {\n\tsize int\n}\n\n"
        "type Gas struct {\n\tBase\n\tflame int\n}\n\nfunc (g Gas) Heat() int {\n\treturn g.flame\n}\n"
    ),
    "lib/mix.rb": "module Mixing\nend\n\nclass Bowl\n  include Mixing\nend\n",
    "setup.py": "from setuptools import setup\n\nsetup(install_requires=['flour'])\n",
    "pyproject.toml": '[project]\nname = "shop"\ndynamic = ["dependencies"]\n',
}
# Question, kind, words of the answer, places that the evidence names, words of what is not certain.
QUESTIONS = [
    ("where is bake used?", "used", [], [("shop/table.py", 3)], ["shop/pages/oven.tmpl:1"]),
    ("where is LIMIT defined?", "defined", ["no function or type"], [("shop/oven.py", 1)], []),
    ("where is the type Kind defined?", "defined", [], [("oven/oven.go", 7)], []),
    ("where is heat defined?", "defined", [], [("shop/oven.py", 4)], ["type or file has the name heat"]),
    ("who calls Gas.warm?", "used", ["Heat.warm"], [("shop/oven.py", 5)], ["inherits"]),
    ("who calls Cold.warm?", "not known", ["defines no warm"], [], []),
    ("what does bake call?", "calls", ["flip"], [("shop/oven.py", 20)], []),
    ("what does cool raise?", "raises", ["raise error (line 28)"], [("shop/oven.py", 28)], []),
    ("where is Cold raised?", "raised", ["Heat.warm"], [("shop/oven.py", 7)], ["shop/oven.py:27"]),
    ("what depends on java/a/Crust.java?", "dependents", [], [("java/a/Loaf.java", 4)], []),
    ("what fields does Crust have?", "members", ["grams"], [("java/a/Crust.java", 4)], []),
    ("what implements Heater?", "subclasses", ["Gas"], [("oven/oven.go", 13)], ["names of its own methods"]),
    ("what does shop/oven.py:Gas inherit from?", "bases", ["Heat"], [("shop/oven.py", 10)], []),
    (
        "what does oven/oven.go:Gas inherit from?",
        "bases",
        ["embeds Base"],
        [("oven/oven.go", 14)],
        ["interfaces"],
    ),
    ("which classes mix in Mixing?", "subclasses", [], [("lib/mix.rb", 5)], []),
    ("what are the dependencies?", "requirements", ["go.mod: nothing"], [], ["setup.py, pyproject.toml"]),
]


@pytest.fixture
def shop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        return current_snapshot(connection, "project")


def ask(engine: Engine, snapshot: Snapshot, question: str) -> Answer:
    with engine.connect() as connection:
        return answers.answer(connection, snapshot, question)


def test_each_line_that_has_a_name_is_accounted_for(engine: Engine, shop: Snapshot) -> None:
    wrong = []
    for question, kind, words, places, limits in QUESTIONS:
        answer = ask(engine, shop, question)
        found = {(evidence.path, evidence.line) for evidence in answer.evidence}
        right = (
            answer.understood.kind == kind
            and all(word in answer.words for word in words)
            and found >= set(places)
            and all(word in "; ".join(answer.limits) for word in limits)
            and bool(limits) == bool(answer.limits)
        )
        wrong += [] if right else [(question, answer.understood.kind, answer.words, answer.limits, found)]
    assert wrong == []


MOVED = "def knead(dough):\n    return dough * 2\n"


def test_what_was_moved_was_introduced_before_that(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    first = repository.commit(
        {"dough.py": MOVED, "yeast.py": "def rise(dough):\n    return dough\n"}, "Knead", ANN
    )
    repository.git("tag", "v1")
    repository.commit({"dough.py": "", "hands.py": "import math\n\n\n" + MOVED}, "Hands knead", BOB)
    renamed = repository.commit({"yeast.py": "def grow(dough):\n    return dough\n"}, "It grows", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    answer = ask(engine, snapshot, "when was knead introduced?")
    assert "by Ann: Knead" in answer.words
    assert "in dough.py; moved to hands.py" in answer.words
    assert "first released in v1" in answer.words
    assert answer.evidence[0].commit == first
    answer = ask(engine, snapshot, "who introduced grow?")
    assert "by Bob: It grows" in answer.words
    assert "its lines are from" in answer.words
    assert [evidence.commit for evidence in answer.evidence if evidence.line is None] == [renamed, first]


def test_a_former_name_that_another_file_got_is_of_that_file(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"dough.py": MOVED * 3}, "Dough", ANN)
    repository.git("mv", "dough.py", "hands.py")
    repository.commit({}, "Hands", ANN)
    repository.commit({"dough.py": "WEIGHT = 1\n"}, "Another dough", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    assert "last changed" in (words := ask(engine, snapshot, "when was hands.py last changed?").words)
    assert "by Ann: Hands" in words
    assert "Bob" not in ask(engine, snapshot, "who knows hands.py?").words


def test_a_release_is_not_known_if_the_commit_of_a_tag_is_missing(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"dough.py": MOVED})
    repository.git("tag", "v2")
    repository.git("checkout", "-q", "--orphan", "old")
    repository.commit({"dough.py": MOVED, "old.py": ""}, "Old")
    repository.git("tag", "-a", "v1", "-m", "The first")
    missing = repository.loose("v1^{commit}")
    repository.git("checkout", "-q", "main")
    repository.git("branch", "-D", "old")
    missing.unlink()
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    answer = ask(engine, snapshot, "when was knead introduced?")
    assert "which release has this commit first is not known" in answer.words
    assert "tag v1" in answer.words


def test_the_history_of_a_shallow_clone_is_said_not_to_be_complete(
    engine: Engine, repository: GitRepository, ingested: Ingested, tmp_path: Path
) -> None:
    repository.commit({"dough.py": MOVED})
    repository.commit({"hands.py": MOVED.replace("knead", "clap")})
    clone = GitRepository(tmp_path / "clone" / "project")
    clone.git("fetch", "-q", "--depth=1", f"file://{repository.path}", "main")
    clone.git("reset", "-q", "--hard", "FETCH_HEAD")
    ingested(clone)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    answer = ask(engine, snapshot, "when was knead introduced?")
    assert answer.understood.kind == "not known"
    assert "the clone is shallow" in answer.words
    for question in ("who wrote knead?", "when was dough.py last changed?"):
        assert "shallow" in "; ".join(ask(engine, snapshot, question).limits)
