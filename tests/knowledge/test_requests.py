"""Knowledge requests: answered with evidence from what was ingested, once each, and kept."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import sarif
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import listener, requests
from qflow_dagster.quantumflow import get_events
from tests.ingestion.conftest import BOB, GitRepository, Ingested

SERVER = '''\
"""Serving what was stored."""

from store import load


def serve(name: str) -> str:
    """Sign the session cookie and send the page of that name."""
    return load(name)
'''
STORE = '''\
"""Keeping what was said."""


def load(name: str) -> str:
    """Read the entry of that name from the disk."""
    return open(name).read()
'''


@pytest.fixture
def project(repository: GitRepository, ingested: Ingested) -> str:
    repository.commit({"store.py": STORE}, "keep things", BOB)
    repository.commit({"server.py": SERVER}, "serve things")
    ingested(repository)
    return "project"


def ask(engine: Engine, question: str) -> dict:
    with engine.begin() as connection:
        id_ = requests.ask(connection, "project", question, source="test")
    requests.work(engine, worker="test")
    return shown(engine, id_)


def shown(engine: Engine, id_: UUID) -> dict:
    with engine.connect() as connection:
        return requests.show(connection, id_)


def places(found: dict) -> list[tuple[str, int | None]]:
    return [(one["path"], one["line"]) for one in found["resolutions"][0]["resolution"]["evidence"]]


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("Where is load defined?", ("store.py", 4)),
        ("who calls load?", ("server.py", 8)),
        ("what depends on store.py?", ("server.py", 3)),
        ("where is the session cookie signed", ("server.py", 6)),
        ("what does load do?", ("store.py", 4)),
    ],
)
def test_an_answer_names_the_place_that_shows_it(
    engine: Engine, project: str, question: str, place: tuple[str, int]
) -> None:
    found = ask(engine, question)
    assert found["state"] == "resolved"
    assert place in places(found)


def test_who_knows_a_file_is_who_wrote_it(engine: Engine, project: str) -> None:
    assert "Bob" in ask(engine, "who knows store.py?")["resolutions"][0]["resolution"]["answer"]


def test_the_same_question_of_the_same_commit_is_one_request(
    engine: Engine, project: str, repository: GitRepository, ingested: Ingested
) -> None:
    first, again = (ask(engine, "Where is load defined?") for _ in range(2))
    assert first["id"] == again["id"]
    repository.commit({"store.py": "\n\n" + STORE})
    ingested(repository)
    later = ask(engine, "Where is load defined?")
    assert later["id"] != first["id"]
    assert ("store.py", 6) in places(later)


def test_a_name_nobody_knows_is_said_so_and_given_up_after_a_few_attempts(
    engine: Engine, project: str
) -> None:
    with engine.begin() as connection:
        id_ = requests.enqueue(
            connection, "signature", {"symbol": "nowhere"}, source="test", repository="project"
        )
    for _ in range(requests.MAX_ATTEMPTS):
        requests.work(engine, worker="test")
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE workflows SET available_at = clock_timestamp() WHERE id = :id"), {"id": id_}
            )
    found = shown(engine, id_)
    assert found["state"] == "dead"
    assert "nowhere" in found["problem"]
    with engine.begin() as connection:
        requests.resolve_by_hand(connection, id_, {"answer": "it was removed", "evidence": []}, actor="ann")
    assert shown(engine, id_)["state"] == "resolved"


def test_bad_requests_are_refused_and_nothing_is_kept(engine: Engine, project: str) -> None:
    for wrong in (
        lambda c: requests.enqueue(c, "gossip", {}, source="test"),
        lambda c: requests.enqueue(c, "question", {}, source="test", key="k" * 300),
    ):
        with pytest.raises(UsageError), engine.begin() as connection:
            wrong(connection)
    with pytest.raises(QflowError, match="nowhere"), engine.begin() as connection:
        requests.ask(connection, "nowhere", "where is load defined", source="test")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM knowledge_requests")) == 0


def test_many_workers_answer_each_request_once(engine: Engine, project: str) -> None:
    with engine.begin() as connection:
        ids = [
            requests.ask(connection, "project", f"where is load defined, number {number}", source="test")
            for number in range(30)
        ]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda number: requests.work(engine, worker=f"w{number}", limit=30), range(4)))
    assert sum(one.resolved for one in done) == 30
    with engine.connect() as connection:
        for id_ in ids:
            moves = [event.to_status for event in get_events(connection, id_)]
            assert moves.count("resolved") == 1


def test_the_listener_answers_what_is_raised_while_it_listens(engine: Engine, project: str) -> None:
    answered: list[int] = []

    def listen() -> None:
        for done in listener.listen(engine, worker="listener", idle=3):
            answered.append(done.resolved)
            if sum(answered):
                return

    thread = threading.Thread(target=listen)
    thread.start()
    with engine.begin() as connection:
        id_ = requests.ask(connection, "project", "where is load defined?", source="test")
    thread.join(30)
    assert shown(engine, id_)["state"] == "resolved"


def test_what_is_asked_of_findings_is_answered_anew_for_they_change_on_the_same_commit(
    engine: Engine, project: str
) -> None:
    assert ask(engine, "what is wrong with store.py")["state"] == "resolved"
    place = {"artifactLocation": {"uri": "store.py"}, "region": {"startLine": 5}}
    result = {"ruleId": "R1", "message": {"text": "bad"}, "locations": [{"physicalLocation": place}]}
    log = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "tool"}}, "results": [result]}]}
    with engine.begin() as connection:
        sarif.import_log(connection, current_snapshot(connection, project), json.dumps(log).encode())
    again = ask(engine, "what is wrong with store.py")
    assert "tool/R1" in again["resolutions"][0]["resolution"]["answer"]
    assert len(again["resolutions"]) == 2
