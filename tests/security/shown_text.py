"""Attempts by text that a person reads: on a terminal, in a page, in Dagster's page, in a notification, in a log."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest import mock

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.cli import output
from qflow_dagster.safety.display import visible
from tests.security import ground
from tests.security.corpus import attempt

# Each hides, reorders, overprints, erases or imitates something on a terminal or in a page.
TEXTS = {
    "colour": "\x1b[8mhidden\x1b[0m",
    "erase the line above": "\x1b[1A\x1b[2K",
    "title": "\x1b]0;title\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "C1": "\x9b31mred",
    "return": "safe\rEVIL",
    "backspace": "no\b\bok",
    "bidirectional": "\u202eevil\u2066",
    "zero width": "a\u200bb\u2060c",
    "filler": "x\u3164y",
    "soft hyphen": "pass\u00adword",
    "separators": "a\u2028b\u2029c",
    "tags": "\U000e0041\U000e0042",
    "variation": "v\ufe0f\ufe01",
    "no-break space": "a\u00a0b",
    "combining": "e" + "\u0301" * 50,
    "Thai marks": "\u0e01" + "\u0e49" * 50,
    "Braille blank": "a\u2800b",
    "private use": "\ue000",
    "lone surrogate": "\ud800",
    "device control": "\x1bP$q\x1b\\",
    "answer back": "\x05\x1b[c",
    "rich markup": "[link=https://evil.example]x[/link][/]",
    "Mongolian selector": "a\u180bb",
    "byte order mark": "\ufeffa",
}


@contextmanager
def terminal() -> Iterator[io.StringIO]:
    """What a command prints to a terminal: colours of our own, nothing of the text's."""
    buffer = io.StringIO()
    console = output.SafeConsole(file=buffer, force_terminal=True, width=200)
    with mock.patch.object(output, "console", console), redirect_stdout(buffer):
        yield buffer


def without_own_colours(text: str) -> str:
    """The text without the SGR sequences by which rich colours."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@attempt("text on a terminal", *TEXTS)
def printed(_folder: Path, name: str) -> None:
    hostile = TEXTS[name]
    row = {"target": hostile, "reason": hostile, "more": {"k": [hostile]}}
    with terminal() as shown:
        output.print_rows([row], empty="")
        output.print_fields(row)
        output.print_json(row)
        output.print_text(hostile)
        output.console.print(f"done: {hostile}")
    words = without_own_colours(shown.getvalue())
    assert visible(words) == words, repr(words)
    # Nothing is dropped unseen: what was hidden is written out.
    for character in hostile:
        if visible(character) != character:
            assert f"<U+{ord(character):04X}>" in words
    assert "]8;;" not in shown.getvalue() or "<U+001B>]8;;" in shown.getvalue()


@attempt("text of an approval", *TEXTS)
def approved(_folder: Path, name: str) -> None:
    """The page and the command show all of the content, and nothing that it is not."""
    from qflow_dagster.cli import request_view
    from qflow_dagster.web.diffs import diff_files
    from qflow_dagster.web.pages import templates, with_code

    hostile = TEXTS[name].encode("utf-8", "replace").decode()
    patch = f"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+{hostile}\n"
    content = {"patch": patch, "also_run": f"rm {hostile}"}
    with ground.engine().begin() as connection:
        id_ = arbiter.request_approval(
            connection, "edit", f"a {hostile}", content, requested_by="bot", reason=hostile
        )
        found = records.show(connection, id_)
        with terminal() as shown, mock.patch.object(request_view, "console", output.console):
            request_view.print_approval(connection, found)
    words = without_own_colours(shown.getvalue())
    assert visible(words) == words, repr(words)
    assert "also_run" in words
    page = templates.env.from_string("{{ text }}").render(text=hostile)
    shown_as_html = [
        page,
        with_code(hostile),
        *(line.html for file in diff_files(patch) for line in file.lines),
    ]
    assert all(visible(part) == part for part in shown_as_html)


@attempt("text in Dagster's page", *TEXTS)
def metadata(_folder: Path, name: str) -> None:
    from qflow_dagster.assets.metadata import table
    from qflow_dagster.pictures.charts import histogram

    hostile = TEXTS[name]
    [record] = table([{"path": hostile}]).records
    for shown in (str(record.data["path"]), histogram([(hostile, 1)], hostile)):
        assert visible(shown) == shown, repr(shown)


MARKUP = {
    "entity": "&#8238;evil",
    "script": "<script>alert(1)</script>",
    "image": "![x](https://evil.example/p.png)",
    "link": "[x](javascript:alert(1))",
    "address": "https://evil.example",
    "pipe": "a|b|c",
    "newline": "a\n\n# heading",
    "html comment": "<!-- ",
    "code": "`x`",
    "table": "\n|---|\n",
}


@attempt("markup in Dagster's page", *MARKUP)
def markdown(_folder: Path, name: str) -> None:
    from qflow_dagster.assets.metadata import markdown as as_markdown

    shown = as_markdown(MARKUP[name])
    for sign in "&<>![]|`#":
        assert sign not in shown.replace(f"\\{sign}", ""), shown
    assert "\n" not in shown
    assert "://" not in shown.replace("\\://", "")


@attempt("text in a notification", *TEXTS)
def notified(_folder: Path, name: str) -> None:
    from qflow_dagster.notifications import chat
    from qflow_dagster.notifications.delivery import Note
    from qflow_dagster.notifications.events import Event
    from qflow_dagster.notifications.rendering import OWN, render

    hostile = TEXTS[name]
    names = (
        "state",
        "title",
        "message",
        "operation",
        "event",
        "about",
        "reason",
        "actor",
        "comment",
        "place",
        "suspect",
    )
    fields = dict.fromkeys(names, hostile) | {"details": {hostile: hostile}}
    for kind in sorted(path.stem for path in OWN.glob("*.txt")):
        text = render(Event(kind, "error", fields))
        assert visible(text.title) == text.title
        assert visible(text.body) == text.body
        body = json.dumps(Note("1", "errors", text.title, text.body, {"m": hostile})._asdict(), default=str)
        assert body.isascii()
        assert chat.slack_message(text.title, text.body, None, None).isascii()


@attempt("text in a log", *TEXTS)
def logged(_folder: Path, name: str) -> None:
    from qflow_dagster.safety.logs import SafeFilter

    buffer = io.StringIO()
    handler = logging.StreamHandler(buffer)
    handler.addFilter(SafeFilter())
    logger = logging.Logger(f"corpus.{name}")
    logger.addHandler(handler)
    logger.error("it failed: %s", TEXTS[name])
    try:
        raise ValueError(TEXTS[name])
    except ValueError:
        logger.exception("it failed")
    words = buffer.getvalue()
    assert visible(words) == words, repr(words)


@attempt("text in measures and health", *TEXTS)
def measured(_folder: Path, name: str) -> None:
    """What Prometheus and a probe read: names of operations come from whoever sends errors."""
    from starlette.testclient import TestClient

    from qflow_dagster.infrastructure.circuit_breaker import hold
    from qflow_dagster.web.app import build_app

    hostile = TEXTS[name].encode("utf-8", "replace").decode()
    with ground.engine().begin() as connection:
        hold(connection, f"op {hostile}", "open", actor="ada", reason="a try")
    with TestClient(build_app(ground.engine(), host="127.0.0.1"), base_url="http://127.0.0.1:3001") as client:
        for path in ("/metrics", "/health/deep"):
            words = client.get(path).text
            assert visible(words) == words, repr(words)


@attempt("lines that pose as others", "wrapped field", "field on a new line", "wrapped line of a patch")
def posing(_folder: Path, name: str) -> None:
    """A terminal of 80 columns, and a text that is as long as it takes to begin a line of its own."""
    import re

    with terminal() as shown:
        output.console.width = 80
        if name == "wrapped line of a patch":
            output.print_code("+b = 1  # " + "#" * 68 + "- c = evil()\n", "diff")
        else:
            padding = "\n" if "new" in name else "-" * 70
            output.print_fields({"reason": f"routine {padding} status      approved", "status": "pending"})
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    assert not [line for line in lines if line.startswith(("status      approved", "- c", "-c"))]
    assert not [line for line in lines if re.match(r"\S.*evil|\s*-\s", line) and not re.match(r"\s*\d", line)]
