"""The table of constructs: each example adds to a function what the table says, alone, nested and together."""

from textwrap import indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.ingestion.extraction import constructs, extract
from qflow_dagster.ingestion.extraction.constructs import Construct, Language
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS
from tests.docs.constructs import PAGE, page

KINDS = {kind.name: kind for kind in constructs.kinds()}
TABLES = [
    (language, table)
    for language, grammar in GRAMMARS.items()
    for file in constructs.files(grammar)
    if (table := constructs.language(file))
]
ENTRIES = [(language, table, entry) for language, table in TABLES for entry in table.constructs]


def place(template: str, code: str) -> str:
    """Return `template` with `code` for the word CODE, indented if the template is Python."""
    return template.replace("CODE", indent(code, "    ") if ":\nCODE" in template else code)


def measured(language: str, table: Language, code: str, depth: int) -> tuple[int, int]:
    """Return (decisions, cognitive) of the table's frame function around `code`, `depth` conditions deep."""
    for _ in range(depth):
        code = place(table.nest, code)
    facts = extract(place(table.frame, code).encode(), language)
    assert facts.parse_error_count == 0, code
    function = next(s for s in facts.symbols if s.name == "f")
    assert function.decisions is not None
    assert function.cognitive is not None
    return function.decisions, function.cognitive


def added(language: str, table: Language, entry: Construct, depth: int) -> tuple[int, int]:
    """Return what the entry's example adds to (cyclomatic, cognitive) at a depth."""
    before = measured(language, table, entry.without or table.plain, depth)
    after = measured(language, table, entry.example or table.plain, depth)
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize(
    ("language", "table"), TABLES, ids=[f"{language}: {table.title}" for language, table in TABLES]
)
def test_an_example_adds_what_the_table_says(language: str, table: Language) -> None:
    wrong = []
    for entry in table.constructs:
        kind = KINDS[entry.kind]
        for depth in (0, 2):
            expected = (kind.cyclomatic, kind.cognitive + depth * kind.nested)
            if (ours := added(language, table, entry, depth)) != expected:
                wrong.append((entry.name, depth, ours, expected))
    assert wrong == []


@given(st.sampled_from(TABLES), st.data())
def test_constructs_one_after_another_add_up(sample: tuple[str, Language], data: st.DataObject) -> None:
    language, table = sample
    depth = data.draw(st.integers(0, 3))
    # A label may occur once.
    chosen = data.draw(
        st.lists(
            st.sampled_from(table.constructs), min_size=1, max_size=5, unique_by=lambda entry: entry.kind
        )
    )
    base = measured(language, table, table.plain, depth)
    codes = [entry.example or table.plain for entry in chosen]
    parts = [measured(language, table, code, depth) for code in codes]
    whole = measured(language, table, "\n".join(codes), depth)
    assert whole == tuple(base[i] + sum(part[i] - base[i] for part in parts) for i in (0, 1))


def test_every_pattern_is_of_a_kind_and_every_kind_occurs() -> None:
    used = {entry.kind for _, _, entry in ENTRIES}
    assert used == set(KINDS)
    for _, _, entry in ENTRIES:
        assert KINDS[entry.kind].name != "none" or not entry.pattern


def test_the_documentation_shows_the_table() -> None:
    assert page() == PAGE.read_text(), "run make docs-output"
