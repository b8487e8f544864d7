"""The plan: findings and texts become ranked work, claimed once, finished when what it asked for is so."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import next_work, safe_work_planner, work_chunks, work_items
from qflow_dagster.execution.model_classifier import classify_by_model
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.infrastructure import language_model
from qflow_dagster.quantumflow import (
    DependencyCycleError,
    IllegalTransitionError,
    claim,
    create_workflow,
    reclaim_expired,
)
from qflow_dagster.settings import settings
from tests.improvement_loop import MUTABLE, NONE, Loop


def features(loop: Loop, state: str = "open") -> list[dict]:
    with loop.engine.connect() as connection:
        return work_items.find(connection, level="feature", state=state)


def test_findings_become_the_hierarchy_with_scores_that_explain_themselves(loop: Loop) -> None:
    loop.repository.commit({"app/a.py": MUTABLE, "app/b.py": NONE})
    loop.find()
    planned = loop.plan()
    assert (planned.features, planned.created, planned.without_score) == (2, 2, 0)
    with loop.engine.connect() as connection:
        tree = work_items.tree(connection)
        assert [(row["depth"], row["level"], row["features"]) for row in tree] == [
            (0, "theme", 0),
            (1, "epic", 2),
        ]
        [story] = [row for row in work_items.find(connection, level="story") if row["path"] == "app/a.py"]
        assert story["rule"] == "python/mutable-default"
        first = work_items.find(connection, level="feature")[0]
        lines = safe_work_planner.explain(connection, first["id"])
        where, what, after = next_work.reasoning(connection, first["id"])
    assert where.startswith(f"where: {first['path']}: ")
    assert where.endswith(", no error in two weeks")
    assert f"WSJF {first['wsjf']:.2f}; 1 open story" in what
    assert after.startswith("then: ")
    assert lines[-1].startswith("WSJF = (")
    assert lines[-1].endswith(f"= {first['wsjf']:.2f}")
    assert all("derived: " in line for line in lines[:4])
    # Nothing new: nothing changes.
    again = loop.plan()
    assert (again.created, again.ranked) == (0, 0)


def test_the_plan_follows_the_hierarchy_that_is_set(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.repository.commit({"app/a.py": MUTABLE, "app/b.py": NONE})
    loop.find()
    levels = {
        "essential": {"theme": None, "epic": "theme", "feature": "epic", "story": "feature"},
        "large-solution": {
            **{"theme": None, "epic": "theme", "capability": "epic"},
            **{"feature": "capability", "story": "feature"},
        },
        "plain": {"epic": None, "story": "epic"},
    }
    # Each after each other one, too.
    for name in ("essential", "large-solution", "plain", "large-solution", "essential", "plain", "essential"):
        monkeypatch.setattr(settings().execution, "hierarchy", name)
        planned = loop.plan()
        with loop.engine.connect() as connection:
            rows = connection.execute(_PARENTS).all()
            [next_] = next_work.get_next_work(connection, actor="ada", claim=False)
            assert work_items.show(connection, next_)["level"] == work_items.planned_level()
        assert {(row.level, row.parent) for row in rows} == set(levels[name].items()), name
        assert planned.features == 2
        assert loop.plan()[1:4] == (0, 0, 0)


_PARENTS = text("""
SELECT i.level, p.level AS parent FROM work_items i JOIN workflows w ON w.id = i.id
LEFT JOIN work_items p ON p.id = i.parent_id WHERE w.status <> 'cancelled'
""")


def test_a_feature_whose_findings_are_gone_is_done_and_comes_back_with_them(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    loop.plan()
    loop.repository.commit({"a.py": "x = 1\n"})
    loop.find()
    assert loop.plan().done == 1
    [done] = features(loop, "done")
    with loop.engine.connect() as connection:
        assert {row["state"] for row in work_items.tree(connection)} == {"done"}
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    loop.plan()
    [back] = features(loop)
    assert (back["id"], back["state"]) == (done["id"], "backlog")
    with loop.engine.connect() as connection:
        assert "done" not in {row["state"] for row in work_items.tree(connection)}


def test_two_callers_never_get_the_same_work(loop: Loop) -> None:
    loop.repository.commit({f"f{n}.py": MUTABLE for n in range(4)})
    loop.find()
    loop.plan()

    def claim(name: str) -> list:
        with loop.engine.begin() as connection:
            return next_work.get_next_work(connection, actor=name)

    with ThreadPoolExecutor(4) as threads:
        claimed = [
            id_ for ids in threads.map(claim, ["ada", "bob", "cyn", "dan", "eve", "fay"]) for id_ in ids
        ]
    assert len(claimed) == len(set(claimed)) == 4
    assert {row["state"] for row in features(loop)} == {"in_progress"}
    # Whoever has a feature has its stories: nothing is generated for them meanwhile.
    with loop.engine.connect() as connection:
        assert {row["state"] for row in work_items.find(connection, level="story")} == {"in_progress"}


def test_the_next_work_is_the_highest_score_that_is_ready(loop: Loop) -> None:
    with loop.engine.begin() as connection:
        ids = work_items.create(
            connection,
            [NewItem(level="feature", title=f"f{n}", source="text") for n in range(3)],
            actor="ada",
        )
        for item, value in zip(ids, (2, 8, 5), strict=True):
            for name in ("business_value", "time_criticality", "risk_reduction"):
                safe_work_planner.set_input(connection, item, name, value, actor="ada")
            safe_work_planner.set_input(connection, item, "job_size", 3, actor="ada")
        work_items.depend(connection, ids[1], [ids[0]])
        order = next_work.get_next_work(connection, actor="ada", limit=3, claim=False)
        assert order == [ids[2], ids[0]], "the best waits for the least"
        work_items.move(connection, [ids[0]], "in_progress", actor="ada")
        work_items.move(connection, [ids[0]], "done", actor="ada")
        assert next_work.get_next_work(connection, actor="ada")[0] == ids[1]
        with pytest.raises(DependencyCycleError):
            work_items.depend(connection, ids[0], [ids[1]])


def test_levels_and_ranges_are_kept(loop: Loop) -> None:
    with loop.engine.begin() as connection:
        [epic] = work_items.create(
            connection, [NewItem(level="epic", title="e", kind="business")], actor="ada"
        )
        [feature] = work_items.create(
            connection, [NewItem(level="feature", title="f", parent_id=epic)], actor="ada"
        )
        [story, other] = work_items.create(
            connection,
            [NewItem(level="story", title="s", parent_id=feature), NewItem(level="story", title="t")],
            actor="ada",
        )
        with pytest.raises(UsageError, match="parent of a feature is of a higher level, not a story"):
            work_items.create(connection, [NewItem(level="feature", title="f", parent_id=story)], actor="ada")
        with pytest.raises(UsageError, match="dependencies are within one level"):
            work_items.depend(connection, epic, [feature])
        with pytest.raises(UsageError, match="done only after it"):
            work_items.depend(connection, story, [feature])
        work_items.depend(connection, other, [feature])
        with pytest.raises(UsageError, match="job_size must be one of"):
            safe_work_planner.set_input(connection, epic, "job_size", 4, actor="ada")
        with pytest.raises(QflowError, match="there is no work item"):
            safe_work_planner.set_input(connection, work_items.uuid7(), "job_size", 5, actor="ada")


def test_what_has_no_inputs_inherits_its_epics_score(loop: Loop) -> None:
    with loop.engine.begin() as connection:
        [epic] = work_items.create(
            connection, [NewItem(level="epic", title="Pay", kind="business")], actor="ada"
        )
        [capability] = work_items.create(
            connection, [NewItem(level="capability", title="Invoices", parent_id=epic)], actor="ada"
        )
        [feature] = work_items.create(
            connection, [NewItem(level="feature", title="PDF", parent_id=capability)], actor="ada"
        )
        assert "missing" in safe_work_planner.explain(connection, feature)[0]
        for name, value in (
            ("business_value", 8),
            ("time_criticality", 5),
            ("risk_reduction", 2),
            ("job_size", 5),
        ):
            safe_work_planner.set_input(connection, epic, name, value, actor="ada")
        assert work_items.show(connection, feature)["wsjf"] == 3.0
        assert safe_work_planner.explain(connection, feature)[-1] == "inputs of epic 'Pay'"


def test_what_a_person_states_outlives_planning(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    loop.plan()
    [feature] = features(loop)
    with loop.engine.begin() as connection:
        safe_work_planner.set_input(connection, feature["id"], "job_size", 20, actor="ada")
    loop.plan()
    with loop.engine.connect() as connection:
        shown = work_items.show(connection, feature["id"])
    assert shown["inputs"]["job_size"] == {"value": 20, "source": "ada", "formula": "stated"}
    assert shown["wsjf"] < feature["wsjf"]


def test_complexity_that_grew_becomes_work(loop: Loop) -> None:
    loop.repository.commit({"a.py": "def f(a):\n    return a\n"})
    loop.find()
    loop.plan()

    def risen(number: int) -> list[dict[str, Any]]:
        branches = "".join(f"    if a == {n}:\n        return {n}\n" for n in range(number))
        loop.repository.commit({"a.py": f"def f(a):\n{branches}    return a\n"})
        loop.find()
        loop.plan()
        with loop.engine.connect() as connection:
            found = work_items.find(connection, level="story", source="metric", state="all")
            return [work_items.show(connection, row["id"]) for row in found]

    [found] = risen(14)
    assert (found["title"], found["acceptance"]) == (
        "Complexity rose: a.py",
        ["cognitive complexity of a.py is at most 0"],
    )
    # It stays until the measure is back where it was, whatever happens in between, and then it ends by itself.
    for number, state in ((14, "backlog"), (30, "backlog"), (3, "backlog"), (0, "done")):
        [now] = risen(number)
        assert (now["id"], now["state"]) == (found["id"], state)
    assert sorted(row["state"] for row in risen(14)) == ["backlog", "done"]


def test_a_large_file_where_much_changes_is_work_until_it_is_smaller(loop: Loop) -> None:
    small = "def f(a):\n    if a:\n        return 1\n    return a\n\n\n"
    large = small + "".join(f"n{n} = f({n})\n" for n in range(510))
    loop.repository.commit({"a.py": large, "b.py": small, "tests/test_a.py": large})
    loop.find()
    loop.plan()
    with loop.engine.connect() as connection:
        [found] = work_items.find(connection, level="story", source="metric")
        shown = work_items.show(connection, found["id"])
    assert (found["title"], found["path"]) == ("Split a hotspot: a.py", "a.py")
    assert shown["acceptance"][0] == "lines of code of a.py is at most 500"
    assert "hotspot 1 (" in shown["description"]
    loop.repository.commit({"a.py": large.partition("n90 =")[0]})
    loop.find()
    assert loop.plan().done == 1
    assert features(loop) == []


# Free text


def test_a_clear_text_is_planned_at_once_under_the_item_it_is_about(loop: Loop) -> None:
    with loop.engine.begin() as connection:
        work_items.create(
            connection, [NewItem(level="epic", title="Invoices as PDF for all customers")], actor="ada"
        )
        added = work_chunks.add_chunk(
            connection,
            "Feature: invoices as PDF for customers in French\n- the button is there\n- the file opens",
            requested_by="ada",
        )
    assert added.state == "applied"
    with loop.engine.connect() as connection:
        assert added.work_item_id is not None
        item = work_items.show(connection, added.work_item_id)
    assert (item["level"], item["acceptance"]) == ("feature", ["the button is there", "the file opens"])
    assert item["parent_id"] is not None


def test_an_unclear_text_is_kept_and_can_be_decided(loop: Loop) -> None:
    with loop.engine.begin() as connection:
        vague = work_chunks.add_chunk(connection, "hm", requested_by="ada")
        likely = work_chunks.add_chunk(connection, "Fix the crash when the cart is empty", requested_by="ada")
    assert (vague.state, likely.state) == ("escalated", "waiting")
    with loop.engine.begin() as connection:
        assert {row["state"] for row in work_chunks.undecided(connection)} == {"escalated", "waiting"}
        assert work_chunks.decide(connection, vague.chunk_id, apply=False, actor="bob") is None
        item = work_chunks.decide(connection, likely.chunk_id, apply=True, actor="bob")
        assert item is not None
        assert work_items.show(connection, item)["title"] == "Fix the crash when the cart is empty"
        assert work_chunks.undecided(connection) == []
    with loop.engine.begin() as connection, pytest.raises(IllegalTransitionError):
        work_chunks.decide(connection, likely.chunk_id, apply=True, actor="bob")
    with loop.engine.connect() as connection:
        assert len(work_items.find(connection, source="text")) == 1


def test_approved_texts_are_claimed_together_and_applied_one_by_one(engine: Engine) -> None:
    with engine.begin() as connection:
        chunks = [
            work_chunks.add_chunk(connection, f"Fix the crash of page {i}", requested_by="ada").chunk_id
            for i in range(3)
        ]
        for chunk in chunks:
            create_workflow(
                connection, work_chunks.DECISION, work_chunks.decision_payload(chunk), actor="bob"
            )
        work_chunks.decide(connection, chunks[1], apply=False, actor="bob")
        # A worker that was killed holds all of them; its leases have run out.
        assert len(claim(connection, work_chunks.DECISION, worker="killed", limit=9, lease=0.001)) == 3
    with engine.begin() as connection:
        reclaim_expired(connection)
    results = work_chunks.apply_approved(engine, worker="next")
    assert [result.row for result in results] == chunks
    assert [result.problem is None for result in results] == [True, False, True]
    with engine.connect() as connection:
        titles = {work_items.show(connection, r.created)["title"] for r in results if r.created}
    assert titles == {"Fix the crash of page 0", "Fix the crash of page 2"}
    assert work_chunks.apply_approved(engine, worker="next") == []


def named(connection: Connection, title: str, level: str = "feature") -> UUID:
    [item] = work_items.create(connection, [NewItem(level=level, title=title)], actor="ada")
    return item


def requested(connection: Connection, request: str) -> work_chunks.AddedChunk:
    return work_chunks.add_chunk(connection, request, requested_by="bob")


def decided(connection: Connection, request: str) -> UUID:
    """The item that a text became part of, once a person applied it."""
    added = requested(connection, request)
    assert added.state == "waiting", "which item it means is a guess, however clear the words are"
    item = work_chunks.decide(connection, added.chunk_id, apply=True, actor="ada")
    assert item is not None
    return item


def test_a_text_about_an_item_waits_and_then_does_what_it_says(engine: Engine) -> None:
    with engine.begin() as connection:
        epic = named(connection, "Customers pay by invoice", "epic")
        [reminders, export] = work_items.create(
            connection,
            [
                NewItem(level="feature", title=title, parent_id=epic)
                for title in ("Send reminders by mail", "Export invoices as PDF")
            ],
            actor="ada",
        )
        [crash, typo] = work_items.create(
            connection,
            [
                NewItem(level="story", title=title, parent_id=reminders)
                for title in ("Crash when the cart is empty", "Typo on the checkout page")
            ],
            actor="ada",
        )

        def shown(item: UUID) -> dict:
            return work_items.show(connection, item)

        request = "Change the feature export invoices as PDF: due 2031-05-02, priority high, owner @lee\n- in French"
        assert decided(connection, request) == export
        changed = shown(export)
        assert (changed["owner"], str(changed["due"]), changed["priority"]) == ("lee", "2031-05-02", "high")
        assert (changed["acceptance"], changed["inputs"]["business_value"]["value"]) == (["in French"], 13)
        event = changed["history"][-1]
        assert (event["actor"], event["data"]["owner"]) == ("ada", {"from": None, "to": "lee"})
        assert shown(reminders)["description"] == ""
        # Shown beside the item it resembles; nothing is created.
        assert decided(connection, "The checkout page has a typo") == typo
        assert "duplicate" in shown(typo)["history"][-1]["data"]
        assert decided(connection, "please close the crash when the cart is empty, fixed in 4.2") == crash
        assert shown(crash)["state"] == "done"
        assert decided(connection, "Reopen: crash when the cart is empty") == crash
        assert shown(crash)["state"] == "backlog"
        assert decided(connection, "Export invoices as PDF depends on send reminders by mail") == export
        assert shown(export)["remaining_dependencies"] == 1
        first = decided(connection, "Split export invoices as PDF into one item for A4 and one for A5")
        assert (shown(first)["title"], shown(first)["parent_id"], shown(export)["state"]) == (
            "A4",
            epic,
            "cancelled",
        )
        assert (
            decided(connection, "Merge the typo on the checkout page into crash when the cart is empty")
            == crash
        )
        assert shown(typo)["state"] == "cancelled"


def test_every_text_becomes_an_item_with_parent_and_score_or_a_question_to_a_person(engine: Engine) -> None:
    with engine.begin() as connection:
        named(connection, "Customers pay by invoice", "epic")
        for request in (
            "Die Bestellübersicht lädt zu langsam, bitte die Abfrage beschleunigen.",
            "hm",
            "what about customers pay by invoice?",
            "Don't close customers pay by invoice yet",
        ):
            assert requested(connection, request).state == "escalated"
        added = requested(
            connection, "Die Bestellübersicht lädt zu langsam, bitte die Abfrage beschleunigen."
        )
        assert "it is written in German, and read by a person" in added.analysis.reasons
        item = work_chunks.decide(connection, added.chunk_id, apply=True, actor="ada")
        assert item is not None
        # Similar to nothing: below what collects such requests.
        assert work_items.show(connection, item)["wsjf"] is not None
        parent = work_items.show(connection, item)["parent_id"]
        assert work_items.show(connection, parent)["title"] == "Requested work"


def test_what_a_text_says_it_needs_is_waited_for(engine: Engine) -> None:
    with engine.begin() as connection:
        ledger = named(connection, "The new ledger")
        added = work_chunks.add_chunk(
            connection,
            "Feature: invoices by mail. It depends on the new ledger, and is blocked by world peace.\n- sent\n- seen",
            requested_by="bob",
        )
        assert added.state == "applied"
        assert added.work_item_id is not None
        assert "no item has the name of its dependency: world peace" in added.analysis.reasons[-1]
        assert work_items.show(connection, added.work_item_id)["remaining_dependencies"] == 1
        assert next_work.get_next_work(connection, actor="ada", limit=9) == [ledger]
        work_items.move(connection, [ledger], "done", actor="ada")
        assert next_work.get_next_work(connection, actor="ada") == [added.work_item_id]


def test_what_a_person_states_is_history_and_what_is_over_is_not_changed(engine: Engine) -> None:
    with engine.begin() as connection:
        item = named(connection, "Pay", level="epic")
        safe_work_planner.set_input(connection, item, "job_size", 5, actor="ada")
        safe_work_planner.set_input(connection, item, "job_size", 8, actor="bob")
        events = work_items.show(connection, item)["history"]
        assert [(e["actor"], e["data"]) for e in events[1:]] == [
            ("ada", {"input": "job_size", "from": None, "to": 5}),
            ("bob", {"input": "job_size", "from": 5, "to": 8}),
        ]
        work_items.move(connection, [item], "cancelled", actor="ada")
        with pytest.raises(QflowError, match="is cancelled: move it back before changing it"):
            safe_work_planner.set_input(connection, item, "job_size", 5, actor="ada")


SAID = (
    '{"level": "feature", "action": "create", "name": "Invoices", "acceptance": ["sent"], "confidence": 1.0}'
)


@pytest.mark.parametrize(
    ("said", "level", "words"),
    [
        (f"Here it is: {SAID}", "feature", "m says so"),
        (
            "I would rather not",
            "story",
            "by cue words: the model's answer is not of the form that was asked for",
        ),
        (
            SAID.replace('"feature"', '"galaxy"'),
            "story",
            "by cue words: the model's answer is not of the form that was asked for",
        ),
    ],
)
def test_a_model_may_say_what_a_text_asks_for_and_its_words_if_that_is_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, said: str, level: str, words: str
) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "cost": 0.75}
    monkeypatch.setattr(language_model, "complete", lambda instructions, question: (said, usage))
    monkeypatch.setattr(settings().model, "url", "http://model")
    monkeypatch.setattr(settings().model, "name", "m")
    found = classify_by_model(engine, "Fix the invoices that nobody gets")
    assert (found.level, found.reasons[-1]) == (level, words)
    with engine.begin() as connection:
        added = work_chunks.add_chunk(
            connection, "Fix the invoices that nobody gets", requested_by="ada", analysis=found
        )
        # However sure the model says that it is.
        assert added.state == "waiting"
    # What it cost is on record, and a spent budget asks nobody.
    monkeypatch.setattr(settings().model, "budget", 0.5)
    again = classify_by_model(engine, "Fix the invoices that nobody gets")
    if found.usage:
        assert again.reasons[-1] == "by cue words: the day's budget of 0.5 is spent"
