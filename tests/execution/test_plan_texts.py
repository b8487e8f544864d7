"""Requests as people write them: understood as their labels say, and the single cases that once were not."""

from datetime import date

import pytest

from benchmarks import plan_texts
from qflow_dagster.execution import text_fields
from qflow_dagster.execution.classifier import classify

MIN_SHARES = {"action": 0.9, "level": 0.9, "depends": 0.85, "acceptance": 0.85}


@pytest.mark.parametrize("name", ["tuning", "held_out"])
def test_requests_are_understood_as_people_read_them(name: str) -> None:
    document = plan_texts.load()
    rows = document[name]
    wrong = [plan_texts.differences(row["is"], plan_texts.understood(document, row["text"])) for row in rows]
    for kind, share in MIN_SHARES.items():
        assert sum(kind not in found for found in wrong) / len(rows) >= share, kind


@pytest.mark.parametrize(
    ("text", "waits_for"),
    [
        (
            "Walker follows symlinks. Needs the reader rewrite first.\n- dirs are listed once\n- loops end",
            ["the reader rewrite"],
        ),
        ("The release script needs a week of testing before the release", []),
        ("Once a customer has paid, mark the invoice", []),
        ("Add a flag\n```go\n// requires go 1.23\n```", []),
        ("Rewrite the parser. It does not require a new grammar", []),
        ("Blocked by nothing", []),
        ("Cache the tree after #88 is merged", ["#88"]),
        ("Is it blocked by the parser?", []),
    ],
)
def test_a_dependency_is_what_a_sentence_says_it_waits_for(text: str, waits_for: list[str]) -> None:
    assert text_fields.read(text, date(2026, 3, 2)).waits_for == waits_for


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("due next Friday", date(2026, 3, 13)),
        ("by Friday", date(2026, 3, 6)),
        ("please fix by tomorrow", date(2026, 3, 3)),
        ("deadline: 30 June", date(2026, 6, 30)),
        ("due Feb 1", date(2027, 2, 1)),
        ("due 2026-02-31", None),
        ("broken since 2026-01-01", None),
    ],
)
def test_a_due_date_is_read_from_the_day_of_the_text(text: str, due: date | None) -> None:
    assert text_fields.read(text, date(2026, 3, 2)).due == due


def test_code_in_a_text_says_nothing_of_its_level() -> None:
    analysis = classify("Add a `--json` flag\n\n```go\n// requires go 1.23 epic theme\n```\n")
    assert (analysis.level, analysis.name, analysis.depends_on) == ("story", "Add a `--json` flag", [])
