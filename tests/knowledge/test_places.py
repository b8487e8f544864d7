"""Where the subject of a question is looked for: in a file, a type or a folder that the question says."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, lookups
from qflow_dagster.knowledge.evidence import Answer
from tests.ingestion.conftest import GitRepository, Ingested

FILES = {
    ".editorconfig": "root = true\n",
    "shop/__init__.py": "",
    "shop/oven.py": "class TooHot(Exception):\n    pass\n\n\ndef bake(loaf):\n    if loaf is None:\n"
    "        raise TooHot\n    return loaf\n",
    "shop/till.py": "from shop.oven import TooHot, bake\n\n\nclass Till:\n    def sell(self):\n"
    "        return bake(round_up(1))\n\n    def refuse(self):\n        raise TooHot\n\n\ndef close():\n    return bake(2)\n\n\n"
    "def round_up(price):\n    return price + 1\n",
    "tools/sell.py": "import os\n\nfrom shop.oven import bake\n\nbake(os.environ['LOAVES'])\n",
    "tools/clean.py": '"""Clean up, as os.environ. This tool is rarely used."""\n\n\ndef clean():\n    return 1\n',
    "crates/dough/src/lib.rs": "pub fn knead() -> u8 { 1 }\n\n#[test]\nfn it_is_soft() { assert_eq!(knead(), 1); }\n",
    "go.mod": "module example.com/shop\n",
    "store.go": "package shop\n\ntype Store interface {\n\tOpen() int\n}\n\ntype Safe struct {\n\tStore\n}\n",
    "disk/store.go": "package disk\n\ntype Store struct{}\n\nfunc (s Store) Open() int { return 1 }\n",
    "disk/cache.go": "package disk\n\ntype Cache struct {\n\tStore\n}\n",
}


@pytest.fixture
def connection(engine: Engine, repository: GitRepository, ingested: Ingested) -> Iterator[Connection]:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connected:
        yield connected


def places(answer: Answer) -> set[tuple[str | None, int | None]]:
    return {(item.path, item.line) for item in answer.evidence}


# A question, the place that the answer says, and the lines of evidence.
LIMITED = [
    ("who calls bake in shop/till.py?", "in shop/till.py: ", {("shop/till.py", 6), ("shop/till.py", 13)}),
    ("who calls bake in tools/", "in tools: ", {("tools/sell.py", 5)}),
    ("Which code in tools uses bake?", "in tools: ", {("tools/sell.py", 5)}),
    ("who uses bake in the tools folder", "in tools: ", {("tools/sell.py", 5)}),
    ("What raises TooHot in till.py?", "in shop/till.py: ", {("shop/till.py", 9)}),
    ("where is os.environ read in tools/sell.py", "in tools/sell.py: ", {("tools/sell.py", 5)}),
]


@pytest.mark.parametrize(("question", "said", "lines"), LIMITED, ids=[row[0] for row in LIMITED])
def test_an_answer_is_limited_to_the_place_that_the_question_says(
    question: str, said: str, lines: set[tuple[str, int]], connection: Connection
) -> None:
    answer = answers.answer(connection, current_snapshot(connection, "project"), question)
    assert said in answer.words
    calling = {place for place in places(answer) if place[0] != "shop/oven.py"}
    assert lines <= calling, answer.words
    assert {path for path, _ in calling} == {path for path, _ in lines}, answer.words


def test_what_is_not_in_the_place_is_not_known_of_it(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "What raises TooHot in tools/clean.py?")
    assert (answer.understood.kind, answer.words) == (
        "not known",
        "no code in tools/clean.py has the word TooHot",
    )


def test_a_place_that_no_answer_is_limited_to_is_said(connection: Connection) -> None:
    answer = answers.answer(
        connection, current_snapshot(connection, "project"), "which methods of Till call round_up"
    )
    assert ("shop/till.py", 6) in places(answer)
    assert "'in Till' in the question was not taken into account" in answer.limits


def test_the_definition_may_be_in_the_place(connection: Connection) -> None:
    answer = answers.answer(
        connection, current_snapshot(connection, "project"), "where is TooHot raised in shop/oven.py"
    )
    assert ("shop/oven.py", 7) in places(answer)


def test_the_noun_beside_a_name_says_which_definition_is_meant(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "what methods does the Store interface have")
    assert answer.words.startswith("Store (store.go:3) has 1 member: Open (line 4)")
    answer = answers.answer(connection, snapshot, "which types implement Store")
    assert "these have all methods of Store (store.go:3): Store (disk/store.go:3)" in answer.words


def test_a_type_of_go_is_embedded_by_its_name_in_its_own_package_alone(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "which types embed Store")
    assert "embeds Store (store.go:3): store.go:8" in answer.words
    assert "embeds Store (disk/store.go:3): disk/cache.go:4" in answer.words


def test_modules_of_python_are_named_with_dots(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "how are shop.till and shop.oven connected")
    assert "shop/till.py imports shop/oven.py (shop/till.py:1)" in answer.words
    answer = answers.answer(connection, snapshot, "who imports shop.oven")
    assert answer.words.startswith("2 files import shop/oven.py")


def test_folders_are_related_by_the_imports_of_their_files(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "how are the packages tools and shop related?")
    assert "1 file of tools imports what is in shop: tools/sell.py:3 (shop/oven.py)" in answer.words
    assert ("tools/sell.py", 3) in places(answer)
    answer = answers.answer(connection, snapshot, "how are the folders disk and shop related?")
    assert (answer.understood.kind, answer.evidence) == ("not known", [])


def test_a_crate_is_a_folder(connection: Connection) -> None:
    answer = answers.answer(connection, current_snapshot(connection, "project"), "who owns the dough crate")
    assert "crates/dough is best known by Ann" in answer.words


def test_questions_without_a_place_are_about_all_files(connection: Connection) -> None:
    """A file whose name begins with a dot has no name without its extension, and is not what is meant."""
    snapshot = current_snapshot(connection, "project")
    assert lookups.files(connection, snapshot, "") == []
    answer = answers.answer(connection, snapshot, "which environment variables are read?")
    assert "1 environment variable read: LOAVES (tools/sell.py:5)" in answer.words


def test_dead_code_of_a_file_that_is_named_without_its_folder(connection: Connection) -> None:
    snapshot = current_snapshot(connection, "project")
    answer = answers.answer(connection, snapshot, "is anything in clean.py unused?")
    assert "in tools/clean.py: 1 of 1 function; " in answer.words
    answer = answers.answer(connection, snapshot, "dead code in crates/dough")
    assert "it_is_soft" not in answer.words
