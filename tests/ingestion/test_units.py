"""Which pieces of code are units of their own, what they are called, and that deep code costs linear time."""

import time
import tomllib
from pathlib import Path

import pytest

from qflow_dagster.ingestion.extraction import extract

TABLES = tomllib.loads(Path(__file__).with_name("units.toml").read_text())


@pytest.mark.parametrize(("language", "source", "units"), TABLES["units"])
def test_pieces_of_code_belong_to_units(language: str, source: str, units: list[str]) -> None:
    facts = extract(source.encode(), language)
    found = [
        f"{s.kind} {s.qualified_name}" + (f"({s.parameters})" if s.decisions is not None else "")
        for s in facts.symbols[1:]
    ]
    assert (found, facts.parse_error_count) == (units, 0)


@pytest.mark.parametrize(("source", "documented", "code_lines"), TABLES["docstrings"])
def test_a_docstring_is_what_python_takes_for_one(
    source: str, documented: list[str], code_lines: int
) -> None:
    facts = extract(source.encode(), "Python")
    assert [s.name or s.kind for s in facts.symbols if s.docstring] == documented
    assert facts.code_lines == code_lines


@pytest.mark.parametrize(("language", "source", "calls"), TABLES["calls"])
def test_calls_are_those_that_are_written(language: str, source: str, calls: list[str]) -> None:
    function = extract(source.encode(), language).symbols[-1]
    found = zip(function.call_receivers, function.calls, strict=True)
    assert [f"{receiver}.{name}" for receiver, name in found] == calls


def test_decisions_at_the_top_level_belong_to_the_file() -> None:
    handlers = "".join(f"app.get('/{n}', (a) => {{ if (a) {{ b(); }} }});\n" for n in range(12))
    facts = extract(handlers.encode(), "JavaScript")
    assert [(s.kind, s.decisions, s.cognitive) for s in facts.symbols] == [("module", 12, 12)]


@pytest.mark.parametrize(
    ("language", "before", "repeated", "after"),
    [
        ("JavaScript", "x = a", "+a", ";"),
        ("JavaScript", "x", ".a()", ";"),
        ("C", "void f() {", "if (a) ", ";}"),
        ("Java", "class A { boolean x = a", " || a", ";}"),
        ("PHP", "<?php $x = 1", ".$a", ";"),
        ("Ruby", "x", ".a", ""),
        ("Elixir", "x", " |> f(1)", ""),
    ],
)
def test_the_time_for_deep_code_is_linear(language: str, before: str, repeated: str, after: str) -> None:
    """Quadratic, it was a minute for the longer one."""
    seconds = []
    for times in (5_000, 40_000):
        source = (before + repeated * times + after).encode()
        started = time.process_time()
        assert extract(source, language).parsed
        seconds.append(time.process_time() - started)
    assert seconds[1] < 30 * seconds[0] + 0.5
