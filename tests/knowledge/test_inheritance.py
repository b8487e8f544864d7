"""What inherits from a type is distinguished from what inherits from others of its name."""

import re
from pathlib import Path

import yaml
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from tests.ingestion.conftest import GitRepository, Ingested

FILES: dict[str, str] = yaml.safe_load((Path(__file__).parent / "inheritance.yaml").read_text())

# The type that is meant, what inherits from it, and what may.
DERIVED = {
    "py/tea.py:Base": (["Green", "Blend"], ["Lost"]),
    "py/coffee.py:Base": (["Blend", "Mocha"], ["Lost"]),
    "py/local.py:Base": (["Local"], ["Lost"]),
    "Token.Tag": (["Close", "Token.Start"], []),
    "java/a/Tag.java:Tag": (["Label", "Price"], []),
    "rs/src/ink.rs:Draw": (["Pen"], []),
    "rs/src/oil.rs:Draw": (["Brush"], []),
    "ts/x.ts:Shape": (["Round"], []),
    "ts/y.ts:Shape": (["Flat"], []),
    "cpp/one.cpp:Pump": (["Water"], ["Bike"]),
    "cpp/two.cpp:Pump": (["Air"], ["Bike"]),
    "ValueError": (["TooHot"], []),
}
_NAMED = re.compile(r"([\w.]+) \([\w./]+:\d+\)")


def test_types_inherit_from_what_their_files_declare_or_import(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    answered = {}
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")

        def words(question: str) -> str:
            return answers.answer(connection, snapshot, question).words

        for name in DERIVED:
            certain, _, possible = words(f"which types inherit from {name}?").partition("; ")
            named = certain.partition(": ")[2]
            answered[name] = (sorted(_NAMED.findall(named)), sorted(_NAMED.findall(possible)))
        several = words("what inherits from Base?")
        assert "3 definitions have the name Base" in several
        assert re.search(r"py/coffee.py:1\): .*Mocha", several)
        assert "coffee.Base (py/coffee.py:1)" in words("what does Mocha inherit from?")
        assert "elsewhere" not in words("what does Foreign inherit from?")
        assert "inherits from" in words("how are Close and Token related?")
        assert "inherits from" not in words("how are Label and Token related?")
    assert answered == {
        name: (sorted(certain), sorted(possible)) for name, (certain, possible) in DERIVED.items()
    }
