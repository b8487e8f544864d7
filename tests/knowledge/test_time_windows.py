"""The time that a question says: what it means in days, and who committed in it."""

from datetime import date

from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, time_windows
from tests.ingestion.conftest import BOB, GitRepository, Ingested

NEWEST = date(2026, 2, 5)
# What is said, and the days; nothing, if it is not understood.
TIMES = {
    "since january 2025": "since 2025-01-01",
    "since 2024-05-01": "since 2024-05-01",
    "since March 3rd, 2025": "since 2025-03-03",
    "since may": "since 2025-05-01",
    "since the start of this year": "from 2026-01-01 to 2026-02-05",
    "since last year": "from 2025-01-01 to 2026-02-05",
    "after 2024": "since 2025-01-01",
    "in 2024": "from 2024-01-01 to 2024-12-31",
    "during Q3 2024": "from 2024-07-01 to 2024-09-30",
    "between 2022 and march 2024": "from 2022-01-01 to 2024-03-31",
    "before June 2024": "until 2024-05-31",
    "in the last six months": "from 2025-08-05 to 2026-02-05",
    "over the past year": "from 2025-02-05 to 2026-02-05",
    "in the last two weeks": "from 2026-01-22 to 2026-02-05",
    "last month": "from 2026-01-01 to 2026-01-31",
    "this year": "from 2026-01-01 to 2026-02-05",
    "since 2024-13-01": "",
    "in 2024.md": "",
    "before last year": "",
    "since the end of 2024": "",
    "may I ask": "",
}


def test_what_is_said_means_days() -> None:
    found = {words: str(time_windows.read(words, NEWEST) or "") for words in TIMES}
    assert found == TIMES


def test_who_committed_in_the_time_that_is_asked(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    # Its clock begins in November of 2023.
    repository.hours = 110 * 24
    for number in range(3):
        repository.commit({"oven.py": f"heat = {number}\n"}, "Warm", BOB)
    repository.hours = 565 * 24
    repository.commit({"till.py": "coins = 1\n"}, "Count")
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")

        def ask(question: str) -> answers.Answer:
            return answers.answer(connection, snapshot, question)

        year = ask("who was the most active in 2024?")
        later = ask("who has landed the most commits since january 2025 if merges don't count?")
        authors = ask("who were the main authors in 2024?")
        never = ask("who was most active in 2023?")
        unread = ask("who has been most active since the rewrite?")
        knows = ask("who knows oven.py best since march 2024?")
    assert year.words.endswith(
        "from 2024-01-01 to 2024-12-31, 3 commits without merges: Bob (3 commits, mostly oven.py)"
    )
    assert "since 2025-01-01, 1 commit without merges: Ann" in later.words
    assert "3 commits without merges: Bob" in authors.words
    assert never.words.startswith("nobody committed from 2023-01-01 to 2023-12-31")
    assert "taken into account" not in " ".join([*year.limits, *later.limits, *authors.limits])
    assert "'since the rewrite' in the question was not taken into account" in unread.limits
    assert "'since march 2024' in the question was not taken into account" in knows.limits
