"""Of files with errors of syntax, answers deny nothing that a line of theirs declares."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import NOT_KNOWN, Answer
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

FILES = {
    # Conditions in the body of an enum end it for the parser.
    "Oven.swift": (
        "public enum Oven: Sendable {\n    static let heat = 1\n\n    #if DEBUG\n    static let warned = false\n    #endif\n\n"
        "    public static func start(_ heat: Int) {\n        print(heat)\n    }\n}\n"
    ),
    # An error swallows the class after it.
    "error.hpp": (
        "class Base {\n};\n\nenum Kind { A, B(\n\nclass Bad : public Base {\n    int x;\n};\n\n"
        "class Worse : public Bad {\n    int size;\n};\n"
    ),
}


@pytest.fixture
def shop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        return current_snapshot(connection, "project")


def ask(engine: Engine, snapshot: Snapshot, kind: str, subject: str) -> Answer:
    with engine.connect() as connection:
        return answers.of(connection, snapshot, ParsedQuestion(kind, subject))


def test_a_member_after_an_error_is_found(engine: Engine, shop: Snapshot) -> None:
    answer = ask(engine, shop, "defined", "Oven.start")
    assert [(row.path, row.line) for row in answer.evidence] == [("Oven.swift", 8)]
    assert "seems to be of Oven" in "; ".join(answer.limits)
    answer = ask(engine, shop, "members", "Oven")
    assert "members may be missing" in "; ".join(answer.limits)


def test_a_member_that_may_be_there_is_not_denied(engine: Engine, shop: Snapshot) -> None:
    answer = ask(engine, shop, "used", "Oven.Base")
    assert answer.understood.kind == NOT_KNOWN
    assert "whether Oven (Oven.swift:1) has a Base is not known" in answer.words


def test_a_type_that_a_line_declares_is_not_of_others(engine: Engine, shop: Snapshot) -> None:
    answer = ask(engine, shop, "subclasses", "Bad")
    assert "1 type inherits from Bad (error.hpp:6): Worse (error.hpp:10)" in answer.words
    assert answer.limits
    assert "error.hpp:6 name it" in ask(engine, shop, "subclasses", "Base").words
    answer = ask(engine, shop, "defined", "Bad")
    assert ("error.hpp", 6) in [(row.path, row.line) for row in answer.evidence]
    assert "is declared in error.hpp:6" in ask(engine, shop, "members", "Bad").words
    answer = ask(engine, shop, "members", "Worse")
    assert "not of the repository" not in answer.words
    assert "the members of Bad (error.hpp:6)" in "; ".join(answer.limits)
