"""Decisions as another site, another process or a stale page could send them: an honest one, spoilt.

Each mutated request carries at least one fault that makes it nobody's decision, and any number of changes
that alone would do no harm. `python -m tests.security.mutations 100000` sends so many to the application in
process, on a database of its own, and says how many were accepted.
"""

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode
from uuid import UUID, uuid4

from sqlalchemy import Engine, text
from starlette.types import ASGIApp, Message

from tests.folders import new_home

HOST = "127.0.0.1:3001"
ORIGIN = f"http://{HOST}"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Decision:
    """One request: what a browser sends when a person presses a button."""

    path: str
    fields: tuple[tuple[str, str], ...]
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = (
        ("Host", HOST),
        ("Origin", ORIGIN),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Referer", f"{ORIGIN}/approvals"),
        ("Content-Type", FORM),
    )
    client: tuple[str, int] = ("testclient", 1)
    query: str = ""
    faults: tuple[str, ...] = field(default=(), compare=False)

    def without(self, name: str) -> "Decision":
        return replace(self, headers=tuple(header for header in self.headers if header[0] != name))

    def having(self, name: str, *values: str) -> "Decision":
        return replace(self, headers=(*self.without(name).headers, *((name, value) for value in values)))

    def field(self, name: str, value: str | None) -> "Decision":
        rest = tuple(pair for pair in self.fields if pair[0] != name)
        return replace(self, fields=rest if value is None else (*rest, (name, value)))


Mutation = Callable[[Decision, random.Random], Decision]

HOSTS = [
    "evil.example",
    "evil.example:3001",
    "localhost.evil.example",
    "127.0.0.1.nip.io:3001",
    "0.0.0.0:3001",
    "localhost.",
    "2130706433",
    "0x7f.1",
    "[::ffff:127.0.0.1]",
    "localhost@evil.example",
    "evil.example@localhost",
    "127.0.0.1:",
    "",
]
ORIGINS = [
    "https://evil.example",
    "null",
    f"https://{HOST}",
    "http://127.0.0.1:3000",
    "http://127.0.0.1",
    "http://localhost:3001",
    f"{ORIGIN}.evil.example",
    f"{ORIGIN}/",
    f"{ORIGIN} https://evil.example",
    f"http://evil.example@{HOST}",
    "",
    "file://",
]
SITES = ["cross-site", "same-site", "none", "Same-Origin", "same-origin, cross-site", ""]
REFERRERS = [
    "https://evil.example/",
    f"{ORIGIN}@evil.example/",
    f"{ORIGIN}.evil.example/",
    f"https://{HOST}/",
    "about:blank",
]
METHODS = [
    "GET",
    "HEAD",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "post",
    "POST ",
    "CONNECT",
    "X",
]
KINDS = ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/xml"]


def _token(text_: str, chance: random.Random) -> str:
    """The token or digest as a guess, a cut, a copy with one digit changed."""
    place = chance.randrange(len(text_))
    other = chance.choice([digit for digit in "0123456789abcdef" if digit != text_[place]])
    return chance.choice(
        [
            "",
            "0" * 64,
            text_[:-1],
            text_[1:],
            f"{text_}0",
            text_[::-1] + "x",
            f"{text_[:place]}{other}{text_[place + 1 :]}",
            f"{chance.getrandbits(256):064x}",
            f"{text_}\0",
            f" {text_}",
            "é" * 64,
            "null",
            f"{text_},{text_}",
        ]
    )


def _value(decision: Decision, name: str) -> str:
    return dict(decision.fields)[name]


FAULTS: dict[str, Mutation] = {
    "host": lambda d, c: d.having("Host", c.choice(HOSTS)),
    "no host": lambda d, c: d.without("Host"),
    "two hosts": lambda d, c: d.having("Host", *c.sample([HOST, HOST, "localhost", c.choice(HOSTS)], 2)),
    "origin": lambda d, c: d.having("Origin", c.choice(ORIGINS)),
    "two origins": lambda d, c: d.having("Origin", *c.sample([ORIGIN, ORIGIN, c.choice(ORIGINS)], 2)),
    "site": lambda d, c: d.having("Sec-Fetch-Site", c.choice(SITES)),
    "two sites": lambda d, c: d.having(
        "Sec-Fetch-Site", *c.sample(["same-origin", "same-origin", c.choice(SITES)], 2)
    ),
    "referrer": lambda d, c: d.having("Referer", c.choice(REFERRERS)),
    "method": lambda d, c: replace(d, method=c.choice(METHODS)),
    "no token": lambda d, c: d.field("csrf", None),
    "token": lambda d, c: d.field("csrf", _token(_value(d, "csrf"), c)),
    "token of the digest": lambda d, c: d.field("csrf", _value(d, "digest")),
    "no digest": lambda d, c: d.field("digest", None),
    "digest": lambda d, c: d.field("digest", _token(_value(d, "digest"), c)),
    "decision": lambda d, c: d.field(
        "decision", c.choice(["", "Approve", "approve ", "consume", "approved", "yes"])
    ),
    "no decision": lambda d, c: d.field("decision", None),
    "fields in the address": lambda d, c: replace(d, query=urlencode(d.fields), fields=()),
    "another approval": lambda d, c: replace(d, path=f"/approvals/{uuid4()}"),
    "path": lambda d, c: replace(
        d,
        path=c.choice(
            [
                f"{d.path}/",
                f"/{d.path}",
                f"{d.path}%20",
                d.path.upper(),
                f"/static/..{d.path}",
                f"/api{d.path}",
                f"/health/live{d.path}",
                f"/dagster{d.path}",
                f"{d.path};x",
                f"http://{HOST}{d.path}",
                "/approvals",
                "",
            ]
        ),
    ),
    "another process": lambda d, c: replace(
        d, client=c.choice([("127.0.0.1", 1), ("::1", 9), ("10.0.0.7", 80), ("", 0)])
    ),
}

HARMLESS: list[Mutation] = [
    lambda d, c: d.without("Referer"),
    lambda d, c: d.without("Sec-Fetch-Site"),
    lambda d, c: d.without("Origin"),
    lambda d, c: d.having("Content-Type", c.choice(KINDS)),
    lambda d, c: d.having("Cookie", c.choice(["a=b", "session=admin; csrf=1", "x" * 3_000])),
    lambda d, c: d.having("Authorization", c.choice(["Basic YWRhOmFkYQ==", "Bearer x", "Basic !!!"])),
    lambda d, c: d.having("X-Forwarded-For", c.choice(["127.0.0.1", "10.0.0.7, 127.0.0.1"])),
    lambda d, c: d.having("X-Forwarded-Host", c.choice([HOST, "evil.example"])),
    lambda d, c: d.having("X-Forwarded-Proto", c.choice(["https", "http"])),
    lambda d, c: d.having("Remote-User", c.choice(["root", "ada"])),
    lambda d, c: d.having("X-HTTP-Method-Override", "POST"),
    lambda d, c: d.having("X-Requested-With", "XMLHttpRequest"),
    lambda d, c: replace(d, query=c.choice(["part", "csrf=1", "decision=approve", "_method=POST"])),
    lambda d, c: d.field("_method", "POST"),
    lambda d, c: d.field("actor", "ada"),
    lambda d, c: d.field("comment", c.choice(["", "ok", "\u202e" * 50, "x" * 5_000])),
]


def mutated(honest: Decision, chance: random.Random) -> Decision:
    """The honest request with one to three faults and up to four harmless changes, in any order."""
    names = chance.sample(sorted(FAULTS), chance.choice([1, 1, 1, 2, 3]))
    # Two that need a field which another removes.
    names = (
        names[:1]
        if "fields in the address" in names or any(name.startswith("no ") for name in names)
        else names
    )
    steps = [FAULTS[name] for name in names]
    harmless = chance.sample(HARMLESS, chance.randrange(5))
    for step in (*harmless, *steps):
        honest = step(honest, chance)
    return replace(honest, faults=tuple(names))


async def send(app: ASGIApp, decision: Decision) -> int:
    """Hand a request to the application as a server does; the status of the answer."""
    body = urlencode(decision.fields).encode()
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": decision.method,
        "path": decision.path,
        "raw_path": decision.path.encode(),
        "root_path": "",
        "query_string": decision.query.encode(),
        "headers": [(name.lower().encode(), value.encode("utf-8")) for name, value in decision.headers],
        "client": decision.client,
        "server": ("127.0.0.1", 3001),
        "state": {},
    }
    await app(scope, receive, collect)
    return status


def attack(
    app: ASGIApp, engine: Engine, honest: Callable[[], tuple[UUID, Decision]], count: int, seed: int = 0
) -> tuple[int, Counter[int]]:
    """Send `count` mutated decisions, then the honest one.

    Returns how many were accepted, and how often each status was answered. Raises AssertionError if the
    honest one is not accepted: then nothing was tested.
    """
    chance = random.Random(seed)
    id_, decision = honest()
    answers: Counter[int] = Counter()

    def events() -> int:
        query = text(
            "SELECT count(*) FROM workflow_events WHERE to_status <> from_status AND workflow_id = :id"
        )
        with engine.connect() as connection:
            return connection.scalar(query, {"id": id_}) or 0

    async def all_of_them() -> int:
        for _ in range(count):
            answers[await send(app, mutated(decision, chance))] += 1
        accepted = events()
        assert await send(app, decision) in (200, 303), "the honest decision is not accepted"
        assert events() == accepted + 1
        return accepted

    return asyncio.run(all_of_them()), answers


def main() -> None:
    """Run the attack on a database of its own and print what came of it."""
    from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
    from qflow_dagster.settings import settings
    from qflow_dagster.web import peers
    from qflow_dagster.web.app import build_app
    from tests.security.test_mutated_decisions import honest_decision, in_process

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    home = new_home("qm-")
    settings().home = home
    embedded.start(home)
    peers.socket_owner = in_process(peers.socket_owner)
    try:
        ensure_database(embedded.url(home))
        engine = engine_for(embedded.url(home))
        migrate(engine)
        app = build_app(engine, host="127.0.0.1")
        accepted, answers = attack(
            app, engine, lambda: honest_decision(engine), arguments.count, arguments.seed
        )
        print(f"{arguments.count:,} sent, {accepted} accepted; answers: {dict(sorted(answers.items()))}")
        engine.dispose()
    finally:
        embedded.stop(home)


if __name__ == "__main__":
    main()
