"""Acceptance criteria: what work can change, once per location."""

from sqlalchemy import text

from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.execution import acceptance, work_items
from tests.improvement_loop import Loop

RULES = {rule.id: rule for rule in load_rules()}
DEEP = (
    "def deep(a):\n"
    + "".join(f"{'    ' * n}if a > {n}:\n" for n in range(1, 12))
    + "    " * 12
    + "return 1\n"
)


def test_rules_that_count_the_past_are_no_work() -> None:
    unreachable = {rule.id for rule in RULES.values() if not acceptance.reachable(rule)}
    assert unreachable == {"maintainability/bug-magnet", "maintainability/lost-knowledge-in-hotspot"}


def test_a_measure_is_accepted_by_its_bound_and_not_by_the_rank_of_its_file() -> None:
    rule = RULES["maintainability/complex-function-in-hotspot"]
    assert acceptance.of_rule(rule, rule.id, "a.py", ["f", "g"]) == [
        "cognitive complexity of f (a.py) is at most 15",
        "cognitive complexity of g (a.py) is at most 15",
    ]
    assert acceptance.strictest(
        [
            "cognitive complexity of f is at most 50",
            "x has no finding",
            "cognitive complexity of f is at most 15",
        ]
    ) == ["x has no finding", "cognitive complexity of f is at most 15"]


def test_a_location_is_one_feature_however_many_rules_report_it(loop: Loop) -> None:
    loop.repository.commit({"a.py": DEEP})
    loop.find()
    loop.plan()
    with loop.engine.begin() as connection:
        [feature] = work_items.find(connection, level="feature")
        stories = work_items.find(connection, level="story")
        shown = work_items.show(connection, feature["id"])
        assert len(stories) >= 2
        assert {story["parent_id"] for story in stories} == {feature["id"]}
        assert feature["title"].endswith(f", and {len(stories) - 1} more")
        assert "cognitive complexity of deep (a.py) is at most 15" in shown["acceptance"]
        assert not [
            sentence for sentence in shown["acceptance"] if "rank" in sentence or "bug fixes" in sentence
        ]
        # What no work can finish and was planned before is cancelled, with the reason.
        connection.execute(
            text("UPDATE work_items SET rule_id = 'maintainability/bug-magnet' WHERE id = :id"),
            {"id": stories[0]["id"]},
        )
        connection.execute(text("UPDATE workflows SET key = 'old' WHERE id = :id"), {"id": stories[0]["id"]})
    loop.plan()
    with loop.engine.connect() as connection:
        [cancelled] = work_items.find(connection, level="story", state="cancelled")
        history = work_items.show(connection, cancelled["id"])["history"]
        assert history[-1]["data"]["reason"] == "its rule counts the past, which no work can change"
