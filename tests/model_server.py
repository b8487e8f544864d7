"""A real HTTP server that answers as an OpenAI-compatible endpoint does: with what a test says, good, poor or garbage.

It is a small deterministic program and no model, so that what is tested is what becomes of answers.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from qflow_dagster.settings import settings


class Model(BaseHTTPRequestHandler):
    """Answers each question by the first key of `answers` that its instructions contain, else by `answer`."""

    answer = ""
    answers: dict[str, str] = {}  # noqa: RUF012
    # The body of the answer, if it is something else than a chat completion.
    body: bytes | None = None
    asked: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(body)
        instructions = body["messages"][0]["content"]
        content = next((text for key, text in self.answers.items() if key in instructions), self.answer)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode() if self.body is None else self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
        pass


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Model]]:
    """A configured model behind a server of its own."""
    server = HTTPServer(("127.0.0.1", 0), Model)
    Thread(target=server.serve_forever, daemon=True).start()
    given = settings().model
    monkeypatch.setattr(given, "url", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setattr(given, "name", "m")
    monkeypatch.setattr(given, "input_price", 10.0)
    monkeypatch.setattr(given, "output_price", 20.0)
    Model.asked, Model.answer, Model.answers, Model.body = [], "<none/>", {}, None
    yield Model
    server.shutdown()
    server.server_close()
