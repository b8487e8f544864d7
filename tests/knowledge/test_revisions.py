"""What changed between two revisions: releases as they are tagged or written, of a file, a folder, or all."""

from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, revisions
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import BOB, GitRepository, Ingested

# Revisions, file or folder, words of the answer, words that it must not have.
BETWEEN = [
    ("rel/shop-1.0.0..rel/shop-1.1.0", "", ["3 commits", "Warmer", "Knead", "Till"], ["First"]),
    ("1.0..1.1.0", "net/oven.go", ["rel/shop-1.0.0", "1 commit by Bob", "Bob: Warmer"], ["Knead"]),
    ("1.1.0..1.0.0", "net/oven.go", ["between rel/shop-1.0.0 and rel/shop-1.1.0", "Bob: Warmer"], []),
    ("1.0.0..1.1.0", "net", ["1 commit by Bob", "net/oven.go (+1 -1)"], ["net_of.go", "Knead"]),
    ("1.0.0..1.1.0", "dough.go", ["1 commit by Ann", "Ann: Knead"], ["Warmer"]),
    ("1.0.0..1.1.0", "README.md", ["no commit changed README.md"], []),
    ("1.0.0..", "Heat", ["Bob: Warmer"], []),
    ("1.0.0..1.1.0", "net/none.go", ["neither rel/shop-1.0.0 nor rel/shop-1.1.0 has net/none.go"], []),
    ("..till@2.0.1", "", ["between till@2.0.0 and till@2.0.1", "8 commits"], []),
    ("..2.0.1", "", ["may be each of the tags", "till@2.0.1", "web/till@2.0.1"], []),
    ("1.0.0..1.1.0", "net", ["net/oven.go"], ["files added", "files deleted"]),
    ("1.0.0..1.1.0", "", ["files added: dough.go", "files deleted: flour.go"], []),
    ("1.1.0..", "", ["12 commits", "Step 11", "and 2 more, not named"], ["Step 1 ", "Step 0"]),
]


def test_changes_between_releases(engine: Engine, repository: GitRepository, ingested: Ingested) -> None:
    repository.commit(
        {
            "net/oven.go": "package net\n\nfunc Heat() int { return 1 }\n",
            "net_of.go": "package shop\n",
            "flour.go": "package shop\n\nfunc Knead() int {\n\tone := 1\n\ttwo := 2\n\treturn one + two\n}\n",
            "README.md": "Shop\n",
        },
        "First",
    )
    repository.git("tag", "rel/shop-1.0.0")
    repository.git("tag", "till@2.0.0")
    repository.commit({"net/oven.go": "package net\n\nfunc Heat() int { return 2 }\n"}, "Warmer", BOB)
    repository.git("mv", "flour.go", "dough.go")
    repository.commit({"net_of.go": "package shop\n\n"}, "Knead")
    repository.git("tag", "web/till@2.0.1")
    repository.commit({"till.go": "package shop\n"}, "Till")
    repository.git("tag", "-a", "-m", "1.1.0", "rel/shop-1.1.0")
    for number in range(12):
        repository.commit({"till.go": f"package shop\n// {number}\n"}, f"Step {number}")
        if number == 3:
            repository.git("tag", "rel/shop-1.1.1")
        if number == 4:
            repository.git("tag", "till@2.0.1")
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        wrong = []
        for pair, path, words, others in BETWEEN:
            answer = answers.of(connection, snapshot, ParsedQuestion("between", pair, path))
            if not all(word in answer.words for word in words) or any(w in answer.words for w in others):
                wrong.append((pair, path, answer.words))
        assert wrong == []
        named = answers.of(connection, snapshot, ParsedQuestion("between", "1.0.0..1.1.0", "net/oven.go"))
        several = answers.of(connection, snapshot, ParsedQuestion("between", "1.0.0..1.1.0"))
    assert [item.words.partition(" ")[2] for item in named.evidence] == ["Bob: Warmer", ""]
    # The files that changed, after the commits; those that are new or gone have their commits.
    changed = [item.path for item in several.evidence if item.words == "changed"]
    assert changed == ["net/oven.go", "net_of.go"]


def test_a_package_that_is_released_apart_has_its_own_first_release(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "packages/till/src/till.go": "package till\n\nfunc Sell() int { return 1 }\n",
            "packages/oven/oven.go": "package oven\n\nfunc Bake() int { return 1 }\n",
            "main.go": "package main\n\nfunc Open() int { return 1 }\n",
        }
    )
    for number, tag in enumerate(
        ("shop-oven-0.3.1", "parent-1.0", "shop-till-0.1.0", "v1.1", "shop-oven-0.4")
    ):
        repository.commit({"notes.md": f"{number}\n"})
        repository.git("tag", "-a", "-m", tag, tag)
    ingested(repository)
    released = {}
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for name in ("Sell", "Bake", "Open", "packages/till"):
            answer = answers.of(connection, snapshot, ParsedQuestion("introduced", name))
            released[name] = answer.words.partition("first released in ")[2].split(",")[0]
    assert released == {
        "Sell": "shop-till-0.1.0 and parent-1.0",
        "Bake": "shop-oven-0.3.1 and parent-1.0",
        "Open": "parent-1.0",
        "packages/till": "shop-till-0.1.0 and parent-1.0",
    }


def test_a_release_is_known_by_the_end_of_one_tag(repository: GitRepository) -> None:
    repository.commit({"a": "1"})
    for tag in (
        "v1.2.0",
        "REL_1_3_0",
        "pack@1.4.0",
        "name-2-1.5.0",
        "go1.6",
        "2.1.7",
        "rel/1.8.0",
        "rel/1.8.0-rc1",
    ):
        repository.git("tag", tag)
        repository.commit({"a": tag})
    objects = repository.path / ".git"
    found = {
        name: revisions.named(objects, name)
        for name in (
            "1.2.0",
            "1.2",
            "v1.3.0",
            "1.4.0",
            "1.5.0",
            "1.6",
            "1.7",
            "1.8.0",
            "1.8.0-rc1",
            "main",
            "9.9",
        )
    }
    assert found == {
        "1.2.0": ["v1.2.0"],
        "1.2": ["v1.2.0"],
        "v1.3.0": ["REL_1_3_0"],
        "1.4.0": ["pack@1.4.0"],
        "1.5.0": [],
        "1.6": ["go1.6"],
        "1.7": [],
        "1.8.0": ["rel/1.8.0"],
        "1.8.0-rc1": ["rel/1.8.0-rc1"],
        "main": ["main"],
        "9.9": [],
    }


def test_the_release_before_a_final_one_is_no_preview_of_it(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    for tag in ("v1.0.0", "v2.0.0-rc1", "v2.0.x", "v2.0.0b2", "v2.0.0"):
        repository.commit({"a.py": f"TAG = '{tag}'\n"}, f"Tag {tag}")
        repository.git("tag", tag)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        final = answers.of(connection, snapshot, ParsedQuestion("between", "..v2.0.0"))
        preview = answers.of(connection, snapshot, ParsedQuestion("between", "..v2.0.0b2"))
    assert final.words.startswith("between v1.0.0 and v2.0.0: 4 commits")
    assert preview.words.startswith("between v2.0.x and v2.0.0b2")
