"""Goals to raise the coverage of a function: their story, which stands in the test file that is changed."""

import re
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import goal_rules
from qflow_dagster.execution import work_items
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.metrics import queries as metrics

_SENTENCE = re.compile(
    r"\b(?:raise|increase|improve)\s+(?:the\s+)?(?:test\s+)?coverage\s+(?:of|in|for)\s+(?:the\s+)?(?:function\s+|method\s+)?(\S+)",
    re.IGNORECASE,
)
_KEY = re.compile(r"[0-9]+:coverage:(?P<path>.*):(?P<function>[^:]*)", re.DOTALL)
# The test files that import a file; those that are named for it come first.
_TESTS = text(f"""
SELECT DISTINCT f.source_path AS path,
       regexp_replace(f.source_path, '^.*/', '') IN ('test_' || CAST(:stem AS text) || '.py',
                                                     CAST(:stem AS text) || '_test.py') AS named
FROM dependencies f JOIN files s ON s.repository_id = f.repository_id AND s.path = f.source_path
     AND s.from_seq <= :seq AND (s.to_seq IS NULL OR s.to_seq > :seq)
WHERE {IN_SNAPSHOT} AND f.target_path = :path AND s.test
  AND regexp_replace(f.source_path, '^.*/', '') ~ '^test_.*[.]py$|_test[.]py$'
ORDER BY named DESC, path
""")


def story_of(connection: Connection, snapshot: Snapshot, sentence: str, *, actor: str) -> UUID | None:
    """Return the story of a sentence that asks for coverage, which is created if it is new; None: it asks for none.

    Raises:
        UsageError: it names no function of Python.
        QflowError: there is no such function, or no test file for tests of it.
    """
    match = _SENTENCE.search(sentence)
    if match is None:
        return None
    name = match[1].strip("`'\"").rstrip(".,;:")
    metric = metrics.metrics_of(connection, snapshot.repository_id, name)
    if metric["kind"] != "function" or not metric["path"].endswith(".py"):
        raise UsageError(
            f"coverage is raised function by function, of Python: {name} is none; name a function"
        )
    path, function = metric["path"], metric["name"]
    stem = re.sub(r"^.*/|\.py$", "", path).strip("_")
    rows = connection.execute(_TESTS, {**snapshot.interval, "path": path, "stem": stem}).all()
    named = [row.path for row in rows if row.named] or ([rows[0].path] if len(rows) == 1 else [])
    if not named:
        others = ", ".join(row.path for row in rows[:5]) or "none"
        raise QflowError(
            f"tests are added to a test file that exists and is named for {path}, such as test_{stem}.py; "
            f"test files that import it: {others}"
        )
    story = work_items.NewItem(
        level="story",
        key=f"{snapshot.repository_id}:coverage:{path}:{function}",
        title=f"Raise the coverage of {function} ({path})",
        acceptance=[f"tests in {named[0]} run more statements of {function} ({path})"],
        source="plan",
        repository_id=snapshot.repository_id,
        rule_id=goal_rules.COVERAGE,
        path=named[0],
    )
    [id_] = work_items.create(connection, [story], actor=actor)
    if work_items.show(connection, id_)["state"] == "done":
        work_items.move(connection, [id_], "backlog", actor=actor, data={"reason": "more is asked for"})
    return id_


def covered_by(key: str) -> tuple[str, str] | None:
    """Return the function (file, name) of the story of a key; None: it is that of another story."""
    match = _KEY.fullmatch(key or "")
    return (match["path"], match["function"]) if match is not None else None
