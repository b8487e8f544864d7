"""Values of constructs by their definitions: one table per language, the same right values in all of them."""

import tomllib
from pathlib import Path

import pytest

from qflow_dagster.ingestion.extraction import extract

FOLDER = Path(__file__).parent / "definitions"
RIGHT = tomllib.loads((FOLDER / "right.toml").read_text())
# Language -> its file and those that hold too.
LANGUAGES = {
    "Python": ["python"],
    "JavaScript": ["javascript"],
    "TypeScript": ["typescript", "javascript"],
    "TSX": ["typescript", "javascript"],
    "Go": ["go"],
    "Rust": ["rust"],
    "Java": ["java"],
    "C": ["c"],
    "C++": ["cpp", "c"],
    "C#": ["csharp"],
    "Ruby": ["ruby"],
    "PHP": ["php"],
    "Elixir": ["elixir"],
    "Kotlin": ["kotlin"],
    "Swift": ["swift"],
    "Scala": ["scala"],
    "Shell": ["shell"],
}


def cases(language: str) -> list[tuple[str, str, str]]:
    """Return (construct, unit, source) of a language."""
    rows = []
    for file in LANGUAGES[language]:
        table = tomllib.loads((FOLDER / f"{file}.toml").read_text())
        rows += [(name, "f", table["frame"].replace("CODE", code)) for name, code in table["code"].items()]
        rows += [(name, unit, source) for name, (unit, source) in table["units"].items()]
    return rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_constructs_have_the_values_of_their_definitions(language: str) -> None:
    wrong = []
    for construct, unit, source in cases(language):
        facts = extract(source.encode(), language)
        symbol = next(
            s
            for s in facts.symbols
            if f".{s.qualified_name}".endswith(f".{unit}") and s.decisions is not None
        )
        ours = [symbol.decisions + 1, symbol.cognitive, facts.parse_error_count]
        if ours != (right := [*RIGHT[construct][:2], 0]):
            wrong.append((construct, ours, right, source))
    assert wrong == []


def test_each_language_has_30_constructs_and_each_value_is_used() -> None:
    constructs = {language: {construct for construct, _, _ in cases(language)} for language in LANGUAGES}
    assert [language for language, names in constructs.items() if len(names) < 30] == []
    assert set(RIGHT) - set().union(*constructs.values()) == set()
