"""Lines of languages without a grammar."""

import time
from pathlib import Path

import pytest
import yaml

from qflow_dagster.ingestion import languages
from qflow_dagster.ingestion.extraction import comments, extract, text

DATA = yaml.safe_load(Path(__file__).with_name("comments.yaml").read_text(encoding="utf-8"))
SYNTAXES = list({repr(comments.syntax(language)): language for language in comments.languages()}.values())


@pytest.mark.parametrize(("language", "source", "expected"), DATA)
def test_lines(language: str, source: str, expected: list[int]) -> None:
    facts = extract(source.encode(), language)
    assert [facts.code_lines, facts.comment_lines, facts.blank_lines] == expected


def test_at_least_as_many_languages_as_documented() -> None:
    assert set(comments.languages()) - set(languages.tables().types) == set()
    assert len(comments.languages()) > 650


@pytest.mark.parametrize("language", SYNTAXES)
def test_patterns_capture_nothing(language: str) -> None:
    # The number of the group around it says what opens.
    pattern, openings = comments.compiled(language)
    assert pattern.groups == len(openings)


@pytest.mark.parametrize("language", SYNTAXES)
def test_marks_that_are_not_closed_are_read_in_linear_time(language: str) -> None:
    syntax = comments.syntax(language)
    pairs = [*syntax.block, *syntax.nested, *syntax.text, *syntax.raw_text]
    marks = [
        *syntax.string,
        *syntax.raw,
        *syntax.quote,
        *syntax.doc,
        *(mark for pair in pairs for mark in pair),
    ]
    comments.comment_spans(b"", language)
    for mark in [*marks, "\\", "<<A", "[==[", "<script>", "# a\n"]:
        for unit in (mark, f"\\{mark}"):
            took = []
            # A quadratic scanner needs a third of a second, each time.
            while not took or (min(took) > 0.15 and len(took) < 3):
                started = time.process_time()
                spans = comments.comment_spans((unit * 8_000).encode()[:8_000], language)
                took.append(time.process_time() - started)
                assert spans == sorted(spans)
            assert min(took) < 0.15, unit


def test_lines_of_old_macintoshes() -> None:
    facts = extract(b"a\r; b\r\rc = 1\r", "INI")
    assert (facts.lines, facts.code_lines, facts.comment_lines, facts.blank_lines) == (4, 2, 1, 1)
    assert text.as_utf8(b"a\rb\n", "utf-8") == b"a\rb\n"
