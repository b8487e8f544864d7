"""Names that a token or the operating system establishes; none that somebody merely gives."""

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.web import identities


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(identities.VARIABLE, raising=False)


def test_without_a_token_it_is_the_account_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "somebody-else")
    account = pwd.getpwuid(os.getuid()).pw_name
    assert identities.established() == account
    assert identities.established(account) == account


def test_a_token_establishes_the_name_it_was_signed_for_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(identities.VARIABLE, identities.sign("Ada Löwe", days=1))
    assert identities.established() == "Ada Löwe"
    assert identities.established("Ada Löwe") == "Ada Löwe"
    with pytest.raises(UsageError, match="nothing says that you are eve"):
        identities.established("eve")


def test_a_name_is_not_believed_because_it_is_given() -> None:
    with pytest.raises(UsageError, match="nothing says that you are ada"):
        identities.established("ada")


@pytest.mark.parametrize("days", [0, -1, 367, float("inf"), float("nan")])
def test_no_token_holds_for_ever(days: float) -> None:
    with pytest.raises(UsageError):
        identities.sign("ada", days=days)


def test_an_expired_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    token = identities.sign("ada", days=1)
    later = identities.time.time() + 86_401
    monkeypatch.setattr(identities.time, "time", lambda: later)
    with pytest.raises(UsageError, match="has expired"):
        identities.verify(token)


@given(st.data())
def test_a_changed_token_is_not_believed(data: st.DataObject) -> None:
    token = identities.sign("ada", days=1)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters())
    changed = token[:at] + letter + token[at + 1 :]
    if changed != token:
        with pytest.raises(UsageError):
            identities.verify(changed)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(UsageError):
        identities.verify(text)


@pytest.mark.parametrize(
    "name", ["alice, bob", "policy:edit", "al\u00adice", " alice", "alice ", "", "x" * 201, "a\u200bb"]
)
def test_what_a_proxy_or_a_person_may_not_call_anybody(name: str) -> None:
    assert not identities.is_name(name)
    with pytest.raises(UsageError):
        identities.sign(name, days=1)
