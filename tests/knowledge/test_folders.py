"""Questions about a folder are answered for the files below it, or the answer says that they are not about folders."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers, index
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from qflow_dagster.knowledge.questions import ParsedQuestion
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import BOB, GitRepository, Ingested

DECIDES = "\n\ndef bake(oven, size):\n    if size:\n        if oven:\n            return 1\n    return 2\n"
FILES = {
    "go.mod": "module example.com/m\n",
    "net/oven/oven.go": 'package oven\n\nimport "os"\n\nfunc Heat() string { return os.Args[0] }\n',
    "net/oven/oven_test.go": "package oven\n\nfunc TestHeat() { Heat() }\n",
    "main.go": 'package main\n\nimport "example.com/m/net/oven"\n\nfunc main() { oven.Heat() }\n',
    "main_test.go": 'package main\n\nimport "example.com/m/net/oven"\n\nfunc TestMain() { oven.Heat() }\n',
    "network.go": "package main\n",
    "shop/__init__.py": "",
    "shop/till.py": f"import json\n\nfrom tools import scale\n{DECIDES}",
    "shop/door.py": "from shop.till import bake\n",
    "tools/__init__.py": "",
    "tools/scale.py": "def weigh():\n    return 1\n",
    "app.py": "from shop.door import bake\n",
    # Neither of them imports the other.
    "src/main/java/a/Crust.java": "package a;\n\npublic class Crust {\n}\n",
    "src/test/java/a/CrustTest.java": "package a;\n\nclass CrustTest {\n  Crust crust;\n}\n",
    # A file and a folder of one name.
    "shop.js": "export const shop = 1\n",
    ".github/CODEOWNERS": "/shop/ @tellers\n/shop/door.py @carpenters\n",
}
# Kind, folder, words of the answer, words that it must not have, places that the evidence names.
QUESTIONS = [
    (
        "dependents",
        "net/oven",
        ["1 file imports from net/oven: main.go:3", "main_test.go:3"],
        ["oven_test"],
        [("main.go", 3)],
    ),
    ("used", "oven/", ["main.go:3"], [], [("main.go", 3)]),
    ("dependents", "src/main", ["CrustTest.java:4"], [], [("src/test/java/a/CrustTest.java", 4)]),
    ("dependents", "shop", ["app.py:1"], ["door.py:", "may have"], [("app.py", 1)]),
    (
        "dependencies",
        "shop",
        ["tools/scale.py", "from outside json"],
        ["shop/till.py"],
        [("shop/till.py", 3)],
    ),
    ("dependencies", "tools", ["import nothing"], [], []),
    (
        "affected",
        "tools",
        ["1 file imports from tools (shop/till.py)", "3 directly or through others"],
        [],
        [("app.py", 1)],
    ),
    ("tests", "net", ["tests in it: net/oven/oven_test.go", "main_test.go"], [], [("main_test.go", 3)]),
    (
        "owner",
        "shop",
        ["Bob (1 commit", "@tellers for 2 of 3 files", "@carpenters for 1"],
        [],
        [(".github/CODEOWNERS", 2)],
    ),
    ("active", "shop", ["Bob (1 commit"], ["Ann"], []),
    ("history", "shop", ["1 commit changed files of shop", "Bob: Shop"], [], [("shop/__init__.py", None)]),
    ("history", "net", ["2 commits", "Ann: Warm"], ["Network"], [("net/oven/oven.go", None)]),
    ("introduced", "net", ["introduced on", "Ann: First", "first released in v1"], [], []),
    ("removed", "net", ["was not removed: it exists", "2 files"], [], []),
    ("removed", "old/net", ["old/net/gone.go was removed", "Bob: Shop"], [], [("old/net/gone.go", None)]),
    ("coupled", "net", ["no file outside of net"], [], []),
    ("hotspot", "shop", ["bake (shop/till.py:6, cognitive 3)"], [], [("shop/till.py", 6)]),
    ("rules", "shop", ["no rule has findings in shop"], [], []),
    ("defined", "net/oven", ["2 files", "net/oven/oven_test.go"], [], [("net/oven/oven.go", 1)]),
    ("purpose", "net/oven", ["2 files"], [], []),
    ("dead", "net/", ["each of 1 function in net is"], [], []),
    ("next", "net", ["nothing is planned"], ["network.go"], []),
    (
        "calls",
        "net",
        ["net is a folder, of which this is not known", "net/oven/oven.go"],
        ["no function"],
        [],
    ),
    (
        "relation",
        "net",
        ["main.go imports what is in net: main.go:3 (net/oven/oven.go)"],
        ["no function"],
        [("main.go", 3)],
    ),
]


@pytest.fixture
def folders(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    repository.commit({name: FILES[name] for name in FILES if "net" in name or name == "go.mod"}, "First")
    repository.git("tag", "v1")
    repository.commit({"net/oven/oven.go": FILES["net/oven/oven.go"] + "\n"}, "Warm")
    repository.commit({"network.go": "package main\n\n", "old/net/gone.go": "package net\n"}, "Network")
    repository.git("rm", "-q", "old/net/gone.go")
    repository.commit({name: FILES[name] for name in FILES if "net" not in name}, "Shop", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    pipeline.compute_all(engine, snapshot.id)
    return snapshot


def test_questions_about_folders(engine: Engine, folders: Snapshot) -> None:
    wrong = []
    with engine.connect() as connection:
        for kind, folder, words, others, places in QUESTIONS:
            answer = answers.of(
                connection, folders, ParsedQuestion(kind, folder, "main.go" * (kind == "relation"))
            )
            found = {(item.path, item.line) for item in answer.evidence}
            if (
                not all(word in answer.words for word in words)
                or any(word in answer.words for word in others)
                or not found >= set(places)
                or (answer.understood.kind == NOT_KNOWN) == bool(found)
            ):
                wrong.append((kind, folder, answer.words, sorted(map(str, found))))
    assert wrong == []


def test_no_kind_says_that_a_folder_does_not_exist(engine: Engine, folders: Snapshot) -> None:
    with engine.connect() as connection:
        for kind in answers.KINDS.keys() - {"between", "word", "requirements", "overview"}:
            answer = answers.of(connection, folders, ParsedQuestion(kind, "net/oven", "main.go"))
            assert "no function, type or file" not in answer.words, kind


def test_a_folder_that_may_be_another_name_is_said_to_be_one(engine: Engine, folders: Snapshot) -> None:
    with engine.connect() as connection:
        assert answers.of(connection, folders, ParsedQuestion("used", "tools")).limits
        assert not answers.of(connection, folders, ParsedQuestion("used", "net/oven")).limits


def test_a_file_has_precedence_over_folders_further_down(engine: Engine, folders: Snapshot) -> None:
    with engine.connect() as connection:
        used = answers.of(connection, folders, ParsedQuestion("dependencies", "till"))
        assert "shop/till.py imports 1 file" in used.words


def test_a_word_beside_a_name_says_that_a_folder_is_meant(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    hasher = (
        "class Hasher:\n    def digest(self):\n        return 1\n\n    def shop(self):\n        return 1\n"
    )
    repository.commit({"src/digest/hasher.py": hasher, "shop.py": "", "shop/till.py": ""}, "First")
    repository.git("tag", "v1.0.0")
    added = repository.commit(
        {"src/digest/crust.py": "class Crust:\n    pass\n", "oven.py": ""}, "Crust", BOB
    )
    repository.git("tag", "v1.1.0")
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        new, knows, method, module, folder = (
            answers.answer(connection, snapshot, question)
            for question in (
                "in the digest package, is there a new class in 1.1.0 that 1.0.0 did not have?",
                "who knows the digest folder?",
                "who knows digest?",
                "who knows the shop module?",
                "who knows the shop folder?",
            )
        )
    assert "in src/digest: 1 commit by Bob" in new.words
    assert "files added: src/digest/crust.py" in new.words
    assert "oven.py" not in new.words
    assert (added, "src/digest/crust.py") in [(item.commit, item.path) for item in new.evidence]
    assert "src/digest is best known by" in knows.words
    assert "Hasher.digest" in method.words
    assert "shop.py" in module.words or "Hasher.shop" in module.words
    assert "shop is best known by" in folder.words
