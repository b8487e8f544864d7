"""Which names a question is about, against what a repository has."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import NOT_KNOWN, Answer
from tests.ingestion.conftest import GitRepository, Ingested

Ask = Callable[[str], Answer]

OVEN = """\
class Oven:
    def get(self):
        return heat()


class Grill:
    def get(self):
        return 1


def heat():
    return 2


def bake():
    return Oven().get()
"""


@pytest.fixture
def ask(engine: Engine, repository: GitRepository, ingested: Ingested) -> Ask:
    repository.commit(
        {"shop/oven.py": OVEN, "shop/menu.py": "from shop.oven import heat\n\n\ndef merge():\n    heat()\n"}
    )
    ingested(repository)

    def answer(question: str) -> Answer:
        with engine.connect() as connection:
            return answers.answer(connection, current_snapshot(connection, "project"), question)

    return answer


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("where is the get of Grill defined?", 7),
        ("in which line is the get method on Oven defined?", 2),
        ("where is heat from shop/oven.py defined?", 11),
    ],
)
def test_a_word_is_a_name_where_the_repository_has_it_in_what_is_named_beside_it(
    ask: Ask, question: str, line: int
) -> None:
    assert [(each.path, each.line) for each in ask(question).evidence] == [("shop/oven.py", line)]


def test_a_word_is_no_name_where_what_is_named_beside_it_has_no_such_thing(ask: Ask) -> None:
    found = ask("who calls the code of Oven?")
    assert found.understood.subject == "Oven"


def test_a_member_that_nothing_has_is_not_known_whatever_is_named_beside_it(ask: Ask) -> None:
    found = ask("I was told Oven has a self_clean, where is it defined?")
    assert found.understood.kind == NOT_KNOWN
    assert "nothing in project has the name self_clean" in found.words


def test_what_nothing_has_is_said_beside_an_answer(ask: Ask) -> None:
    found = ask("CleanBot complains about Oven. Who calls Oven?")
    assert found.understood.kind == "used"
    assert found.limits[-1] == "nothing in project has the name CleanBot, which the question has, too"
