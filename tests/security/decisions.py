"""Attempts to decide as somebody else, from elsewhere, about something else, or without anybody looking."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import requests
from sqlalchemy import text

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import InboxSettings
from qflow_dagster.web import identities
from tests.security import ground
from tests.security.corpus import attempt
from tests.web.conftest import serving


def ask(requested_by: str = "bot", target: str = "a.py") -> UUID:
    with ground.engine().begin() as connection:
        return arbiter.request_approval(
            connection, "edit", target, {"patch": "x"}, requested_by=requested_by, reason="a try"
        )


@contextmanager
def browsing() -> Iterator[tuple[requests.Session, str]]:
    """A client that the kernel knows as ours, and the server's address."""
    with serving(ground.engine()) as address, requests.Session() as session:
        session.trust_env = False
        yield session, address


def undecided(id_: UUID) -> None:
    with ground.engine().connect() as connection:
        query = text("SELECT count(*) FROM approval_decisions WHERE approval_id = :id")
        assert connection.scalar(query, {"id": id_}) == 0, "it was decided"


def form_of(session: requests.Session, address: str, id_: UUID) -> dict[str, str]:
    """The fields of the page's form, as a person who looked would send them."""
    page = session.get(f"{address}/approvals/{id_}", timeout=60).text
    return {**dict(re.findall(r'name="(csrf|digest)" value="([0-9a-f]+)"', page)), "decision": "approve"}


def own(address: str) -> dict[str, str]:
    """What a browser adds to a form of ours."""
    return {"Origin": address, "Sec-Fetch-Site": "same-origin"}


# What each changes of an honest request's fields, its headers (of the server's address), and its method.
REQUESTS: dict[
    str, tuple[Callable[[dict[str, str]], dict[str, str]], Callable[[str], dict[str, str]], str]
] = {
    "another origin": (
        dict,
        lambda _: {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        "POST",
    ),
    "another site of this machine": (
        dict,
        lambda _: {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        "POST",
    ),
    "no origin in the browser's words": (
        dict,
        lambda _: {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        "POST",
    ),
    "another scheme": (dict, lambda at: {**own(at), "Origin": at.replace("http:", "https:")}, "POST"),
    "another name of this machine": (dict, lambda at: {**own(at), "Host": "evil.example:3001"}, "POST"),
    "a name that begins alike": (dict, lambda at: {**own(at), "Host": "127.0.0.1.evil.example"}, "POST"),
    "a name with a user": (dict, lambda at: {**own(at), "Host": "127.0.0.1@evil.example"}, "POST"),
    "no csrf token": (lambda form: {**form, "csrf": ""}, own, "POST"),
    "csrf token of another page": (lambda form: {**form, "csrf": "0" * 64}, own, "POST"),
    "csrf token cut": (lambda form: {**form, "csrf": form["csrf"][:-1]}, own, "POST"),
    "no digest": (lambda form: {k: v for k, v in form.items() if k != "digest"}, own, "POST"),
    "another digest": (lambda form: {**form, "digest": "0" * 64}, own, "POST"),
    "beginning of the digest": (lambda form: {**form, "digest": form["digest"][:16]}, own, "POST"),
    "digest in capitals": (lambda form: {**form, "digest": form["digest"].swapcase()}, own, "POST"),
    "digest that is no text": (lambda form: {**form, "digest": "\u00e9"}, own, "POST"),
    "by GET": (dict, own, "GET"),
    "by PUT": (dict, own, "PUT"),
    "by HEAD": (dict, own, "HEAD"),
    "no such decision": (lambda form: {**form, "decision": "consume"}, own, "POST"),
}


@attempt("decisions over HTTP", *REQUESTS)
def request(_folder: Path, name: str) -> None:
    id_ = ask()
    change, headers, method = REQUESTS[name]
    with browsing() as (session, address):
        fields = change(form_of(session, address, id_))
        where: dict[str, Any] = {"params": fields} if method in ("GET", "HEAD") else {"data": fields}
        answer = session.request(
            method, f"{address}/approvals/{id_}", headers=headers(address), timeout=60, **where
        )
    assert answer.status_code < 500
    undecided(id_)


@attempt("decisions over HTTP")
def honest_decision_is_taken(_folder: Path) -> None:
    """Without this the others would prove nothing."""
    id_ = ask()
    with browsing() as (session, address):
        form = form_of(session, address, id_)
        answer = session.post(f"{address}/approvals/{id_}", data=form, headers=own(address), timeout=60)
    assert answer.status_code == 200, answer.text


@attempt("decisions over HTTP")
def form_of_another_approval(_folder: Path) -> None:
    seen, wanted = ask(target="harmless.py"), ask(target="payroll.py")
    with browsing() as (session, address):
        form = form_of(session, address, seen)
        session.post(f"{address}/approvals/{wanted}", data=form, headers=own(address), timeout=60)
    undecided(wanted)


HEADERS = {
    "forwarded for": {"X-Forwarded-For": "10.9.8.7", "Remote-User": "admin"},
    "forwarded for, several": {"X-Forwarded-For": "10.9.8.7, 10.9.8.7", "Remote-User": "admin"},
    "forwarded": {"Forwarded": "for=10.9.8.7", "Remote-User": "admin"},
    "real IP": {"X-Real-IP": "10.9.8.7", "Remote-User": "admin"},
    "client IP": {"X-Client-IP": "10.9.8.7", "X-Cluster-Client-IP": "10.9.8.7", "Remote-User": "admin"},
    "remote user alone": {"Remote-User": "admin"},
    "a list of names": {"Remote-User": "alice, bob"},
    "with an underscore": {"Remote_User": "admin", "X-Forwarded-For": "10.9.8.7"},
}


@attempt("names in headers", *HEADERS)
def header(_folder: Path, name: str) -> None:
    """A header says who asks, but the peer is no proxy of ours."""
    limits = InboxSettings(trusted_header="Remote-User", proxies=["10.9.8.7"])
    before = settings().inbox
    settings().inbox = limits
    try:
        with mock.patch.dict(os.environ, {"FORWARDED_ALLOW_IPS": "*"}), browsing() as (session, address):
            answer = session.get(f"{address}/approvals", headers=HEADERS[name], timeout=60)
    finally:
        settings().inbox = before
    assert answer.status_code in (401, 403), answer.text
    assert "admin" not in answer.text


ACTORS = {
    "who asked": "bot",
    "who asked, in capitals": "Bot",
    "who asked, with blanks": " bot ",
    "who asked, and an invisible character": "bo\u200bt",
    "who asked, in full width": "\uff42\uff4f\uff54",
    "a policy": "policy:edit",
    "a policy, in capitals": "POLICY:edit",
    "nobody": "",
    "spaces": "  ",
    "long": "x" * 201,
}


@attempt("names of deciders", *ACTORS)
def decider(_folder: Path, name: str) -> None:
    id_ = ask()
    with ground.engine().begin() as connection:
        digest = records.show(connection, id_)["digest"]
        arbiter.approve(connection, id_, actor=ACTORS[name], digest=digest)
    raise AssertionError("it was decided")


def _token(change: Callable[[str], str]) -> str:
    return change(identities.sign("ada", days=1))


TOKENS: dict[str, Callable[[str], str]] = {
    "cut": lambda token: token[:-2],
    "longer": lambda token: token + "AAAA",
    "empty": lambda _token: " ",
    "prefix alone": lambda _token: "qfi_",
    "first bit": lambda token: "qfi_" + ("B" if token[4] != "B" else "C") + token[5:],
    "no base64": lambda token: token[:10] + "\u00e9" + token[10:],
    "signature of another": lambda token: token[:47] + identities.sign("eve", days=1)[47:],
    "nothing signed": lambda _token: "qfi_" + "A" * 43,
    "padding": lambda token: token + "=" * 9,
    "NUL": lambda token: token + "\u0001",
}


@attempt("signed names", *TOKENS)
def token(_folder: Path, name: str) -> None:
    ground.engine()
    with mock.patch.dict(os.environ, {identities.VARIABLE: _token(TOKENS[name])}):
        identities.established()
    raise AssertionError("it was believed")


@attempt("signed names", "expired", "hidden name", "policy's name", "for ever", "empty name")
def signing(_folder: Path, name: str) -> None:
    ground.engine()
    if name == "expired":
        with mock.patch.object(identities.time, "time", return_value=1_000_000.0):
            old = identities.sign("ada", days=1)
        identities.verify(old)
        raise AssertionError("it was believed")
    wanted, days = {
        "hidden name": ("ad\u200ba", 1.0),
        "policy's name": ("policy:edit", 1.0),
        "for ever": ("ada", 1e9),
        "empty name": (" ", 1.0),
    }[name]
    identities.sign(wanted, days=days)
    raise AssertionError("it was signed")


@attempt("signed names", "USER", "LOGNAME", "--as", "SUDO_USER")
def account(_folder: Path, name: str) -> None:
    """A variable that anybody may set says nothing of who acts."""
    ground.engine()
    with mock.patch.dict(os.environ, {} if name == "--as" else {name: "ada"}):
        os.environ.pop(identities.VARIABLE, None)
        if name == "--as":
            identities.established("ada")
            raise AssertionError("it was believed")
        assert identities.established() != "ada"


@attempt("approvals altered in the database", "content", "digest", "decision")
def altered(_folder: Path, name: str) -> None:
    """Somebody with the database's password: the history tells."""
    id_ = ask()
    statements = {
        "content": 'UPDATE approvals SET content = \'{"patch": "evil"}\' WHERE id = :id',
        "digest": "UPDATE approvals SET digest = sha256('evil') WHERE id = :id",
        "decision": "INSERT INTO approval_decisions (approval_id, actor, requested_by, decision) "
        "VALUES (:id, 'bot', 'bot', 'approve')",
    }
    with ground.engine().connect() as connection:
        try:
            connection.execute(text(statements[name]), {"id": id_})
        except Exception as error:
            raise QflowError("the database refuses it") from error
        found: list[Any] = records.disagreements(connection)
        connection.rollback()
    assert str(id_) in {row["id"] for row in found}
