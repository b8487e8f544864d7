"""Short copies are found by comparing, and what is alike by chance is not taken for one."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

LIMIT = """
class _M{0}Length:
    m{0}_length = field()

    def __call__(self, item):
        # Says {0}.
        if len(item) {1} self.m{0}_length:
            message = f"must be {1} {{self.m{0}_length}}"
            raise ValueError(message)
"""
PLAIN = """function isPlain(o: any): o is Tree {{
  return (
    o &&
    typeof o === 'object'{0}
  )
}}
"""
COPIES = {
    "limits.py": LIMIT.format("ax", ">")
    + LIMIT.format("in", "<")
    + "\n\nclass _Other:\n    x = field()\n\n    def __call__(self, item):\n        for part in item:\n"
    "            part.check()\n            yield part\n        return self.x\n",
    "a/types.ts": "export function isPlain(o: unknown): o is Tree\n" + PLAIN.format(""),
    "b/test.ts": PLAIN.format(""),
    "c/other.ts": PLAIN.format(" && o.size > 3 && o.keys !== null || o.length"),
    "one.go": "package a\n\nfunc First(c Context) int {\n\treturn c.Render(1, first{Data: c})\n}\n\n"
    "func Second(c Context) int {\n\treturn c.Render(2, second{Data: c})\n}\n",
}


@pytest.mark.parametrize(
    ("name", "alike", "others"),
    [
        ("_MaxLength", "_MinLength (limits.py:11)", "_Other"),
        # Its parts are no copies of each other.
        ("a/types.ts:isPlain", "isPlain (b/test.ts:1)", "types.ts:1"),
        ("b/test.ts:isPlain", "isPlain (a/types.ts:2)", "other.ts"),
        ("First", "no other code of its kind and size is nearly the same", "Second"),
    ],
)
def test_symbols_with_nearly_the_same_code_are_similar(
    name: str, alike: str, others: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(COPIES)
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), f"what is similar to {name}?"
        )
    assert answer.understood.kind == "similar"
    assert alike in answer.words
    assert others not in answer.words.partition(". Also defined")[0].replace(name, "")


def test_the_symbols_that_have_copied_lines_are_evidence(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    copied = "".join(f"    total{n} = first{n} + second{n} * weight({n})\n" for n in range(40))
    repository.commit(
        {
            "one.py": f"\n\ndef heat(a):\n    a.start()\n    b = a.x\n    a.go(b)\n{copied}    return total0\n",
            "two.py": f"\n\nclass Oven:\n    size = 1\n\n    @cached\n    def warm(self, c, d):\n        print(c)\n"
            f"        if d:\n            return c[d]\n        d = 7\n{copied.replace('    total', '        total')}",
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    pipeline.compute_all(engine, snapshot.id)
    with engine.connect() as connection:
        answer = answers.of(connection, snapshot, ParsedQuestion("similar", "heat"))
        of_file = answers.of(connection, snapshot, ParsedQuestion("similar", "one.py"))
    assert "in Oven.warm (" in answer.words
    places = [(item.path, item.line) for item in answer.evidence]
    assert {("one.py", 3), ("two.py", 7)} <= set(places)
    assert any(path == "two.py" and (line or 0) > 7 for path, line in places)
    assert ("two.py", 7) in [(item.path, item.line) for item in of_file.evidence]
