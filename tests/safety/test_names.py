"""Names that look the same are the same: what is refused, and what people of any script may use."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.agents import agent_messages, coordination
from qflow_dagster.agents.coordination import Capability
from qflow_dagster.errors import UsageError
from qflow_dagster.notifications import endpoints
from qflow_dagster.safety.names import check_name


@pytest.mark.parametrize(
    "name",
    [
        "planner",
        "rule-fix_2.0",
        "Team A: x@example.org",
        "détecteur",
        "größe",
        "検証",
        "コード検査",
        "검사",
        "שלום",
        "Łódź",
    ],
)
def test_printable_ascii_and_letters_that_look_like_no_others_are_names(name: str) -> None:
    check_name(name, "an agent")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 100"),
        ("x" * 101, "1 to 100"),
        (" planner", "blanks"),
        ("planner ", "blanks"),
        ("a  b", "blanks"),
        ("pl\u0430nner", "mixes letters"),
        ("\u0440\u043b\u0430\u043d", "looks like another letter"),
        ("pl\u03b1nner", "mixes letters"),
        ("pl\u0251nner", "looks like another letter"),
        ("p\u0131anner", "looks like another letter"),
        ("planner\u200b", "hide"),
        ("plan\u00adner", "hide"),
        ("\u202erennalp", "hide"),
        ("planner\u3164", "hide"),
        ("planner\u115f", "hide"),
        ("plan\u00a0ner", "hide"),
        ("ｐlanner", "stand for others"),
        ("plan\ufb01", "stand for others"),
        ("e\u0301a", "stand for others"),
        ("\u2160", "stand for others"),
        ("planner\ud800", "hide"),
        ("planner\u0661", "only letters"),
        ("planner✓", "only letters"),
        ("planner😀", "only letters"),
        ("a\0b", "hide"),
        ("a\nb", "hide"),
        ("a\x1b[31m", "hide"),
        ("x\u0336", "mixes letters|only letters|stand|hide"),
    ],
    ids=ascii,
)
def test_a_name_that_can_be_taken_for_another_is_refused_in_one_visible_line(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        check_name(name, "an agent")
    assert str(refused.value).isprintable() or "😀" in name


def test_agents_and_endpoints_are_held_to_it_and_every_agent_gets_messages(engine: Engine) -> None:
    for name in ("pl\u0430nner", "planner\u200b", "\u0430"):
        with pytest.raises(UsageError):
            Capability(name=name)
        with engine.begin() as connection, pytest.raises(UsageError, match="endpoint"):
            endpoints.add(connection, name, "q", "https://example.org/x")
    with pytest.raises(UsageError, match="finite"):
        Capability(name="a", cost=float("nan"))
    with engine.begin() as connection:
        for name in ("sender", "d\u00e9tecteur", "検証" * 25):
            coordination.register(connection, Capability(name=name, heartbeat=60))
        agent_messages.send(connection, "sender", None, "hello", {"a": "\0"})
