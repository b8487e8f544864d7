"""Questions: what is asked, and about what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.knowledge.questions import parse


@pytest.mark.parametrize(
    ("question", "kind", "subject"),
    [
        ("Where is url_for defined?", "defined", "url_for"),
        ("which file defines Flask", "defined", "Flask"),
        ("Who calls connect()?", "used", "connect"),
        ("where is the function connect used", "used", "connect"),
        ("What depends on src/net.c?", "dependents", "src/net.c"),
        ("what breaks if src/net.c changes?", "dependents", "src/net.c"),
        ("What does app.py import?", "dependencies", "app.py"),
        ("who knows src/net.c best?", "owner", "src/net.c"),
        ("what changes together with src/net.c", "coupled", "src/net.c"),
        ("why is src/net.c a hotspot?", "hotspot", "src/net.c"),
        ("Which findings are there in app.py?", "rules", "app.py"),
        ("when was app.py last changed?", "history", "app.py"),
        ("what are the hotspots?", "overview", "hotspots"),
        ("What does connect do?", "describe", "connect"),
    ],
)
def test_what_is_understood(question: str, kind: str, subject: str) -> None:
    understood = parse(question)
    assert (understood.kind, understood.subject) == (kind, subject)


def test_what_fits_no_pattern_is_searched_for() -> None:
    assert parse("how does the server sign its session cookie").kind == "search"


@given(st.text(max_size=300))
def test_any_text_is_a_question(question: str) -> None:
    assert parse(question).kind
