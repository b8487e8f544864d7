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
        ("what breaks if src/net.c changes?", "affected", "src/net.c"),
        ("what breaks if I change src/net.c?", "affected", "src/net.c"),
        ("Where is the Loaf class defined in the bakery?", "defined", "Loaf"),
        ("Where in the bakery codebase is the Loaf class defined?", "defined", "Loaf"),
        ("What are the methods of Loaf?", "members", "Loaf"),
        ("Which functions or methods invoke warm?", "used", "warm"),
        ("What classes inherit from Loaf?", "subclasses", "Loaf"),
        ("what does Rye inherit from?", "bases", "Rye"),
        ("Which function raises OverflowError?", "raised", "OverflowError"),
        ("Where in the codebase is the TooManyRedirects exception raised", "raised", "TooManyRedirects"),
        ("Why was preheat added?", "introduced", "preheat"),
        ("when was shop/oven.py created?", "introduced", "shop/oven.py"),
        ("when was runProxy introduced?", "introduced", "runProxy"),
        ("Who wrote preheat?", "owner", "preheat"),
        ("why is render so complex", "hotspot", "render"),
        ("render: why complex?", "hotspot", "render"),
        ("where is FZF_DEFAULT_OPTS read?", "word", "FZF_DEFAULT_OPTS"),
        ("is there dead code in src/util?", "dead", "src/util"),
        ("what is the licence of this project?", "licence", "what is the licence of this project"),
        ("what is the entry point of the program?", "running", "what is the entry point of the program"),
        ("how do I run the tests?", "testing", "how do I run the tests"),
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
    understood = parse(question, "bakery")
    assert (understood.kind, understood.subject) == (kind, subject)


def test_what_fits_no_pattern_is_searched_for() -> None:
    assert parse("how does the server sign its session cookie").kind == "search"


@given(st.text(max_size=300))
def test_any_text_is_a_question(question: str) -> None:
    assert parse(question).kind
