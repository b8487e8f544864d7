"""Whatever a question and a repository consist of, there is an answer, "not known" or a search, which can be stored."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.errors import UsageError
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers, index, requests
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from qflow_dagster.knowledge.question_forms import FORMS
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import GitRepository, Ingested

ODD_PATH = 'a b/it\'s "odd" %s.py'
# An empty file, binary ones, names that are hard to quote, text that is not UTF-8, and ten languages.
FILES: dict[str, str | bytes] = {
    "empty.py": "",
    "image.png": bytes(range(256)) * 8,
    "latin.py": b"# caf\xe9\ndef caf\xe9():\n    return 1\n",
    ODD_PATH: "def odd():\n    return 1\n",
    "one.py": "def one():\n    return odd()\n",
    "two.go": "package two\n\nfunc Two() int { return 2 }\n",
    "three.rs": "fn three() -> u8 { 3 }\n",
    "Four.java": "class Four { int four() { return 4; } }\n",
    "five.js": "function five() { return 5 }\n",
    "six.ts": "export const six = () => 6\n",
    "seven.c": "int seven(void) { return 7; }\n",
    "eight.rb": "def eight\n  8\nend\n",
    "nine.php": "<?php function nine() { return 9; }\n",
    "ten.sh": "ten() { echo 10; }\n",
}
NAMES = [
    *(
        "'; DROP TABLE files; --",
        "%_%",
        "a|b(c[d{e\\",
        ".*",
        "(?P<",
        "\\",
        "$(reboot)",
        "--help",
        "-e",
        "..",
        "/",
        "~",
    ),
    *(
        "\N{PILE OF POO}",
        "schl\u00fcssel",
        "\u043a\u043b\u044e\u0447",
        "\u200f\u202e",
        "x" * 1_900,
        "image.png",
        "empty.py",
    ),
    *(
        ODD_PATH,
        "a\0b",
        "\udcff",
        "\x1b[31m",
        "HEAD~9999999",
        "odd:odd:odd",
        "x..y",
        "::",
        "#",
        "()",
    ),
]
QUESTIONS = [
    *(
        "",
        " ",
        "?",
        "\0",
        "...",
        "who",
        "\N{PILE OF POO}" * 50,
        "wo ist one definiert?",
        "one \u306f\u3069\u3053\u3067\u3059\u304b",
    ),
    *("where is " * 200, "(" * 500, "a.b." * 400, "select * from files where path like '%'"),
]


@pytest.fixture
def odd(engine: Engine, repository: GitRepository, ingested: Ingested) -> Snapshot:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    pipeline.compute_all(engine, snapshot.id)
    return snapshot


def test_odd_questions_are_answered_or_not_known(engine: Engine, odd: Snapshot) -> None:
    kinds = {*answers.KINDS, "search", NOT_KNOWN}
    with engine.connect() as connection:
        # Each name in a sixth of the forms, each form with a sixth of the names.
        asked = [
            form.replace("X", name).replace("FILE", name)
            for number, name in enumerate(NAMES)
            for form in list(FORMS.values())[number % 6 :: 6]
        ]
        for question in [*QUESTIONS, *asked]:
            answer = answers.answer(connection, odd, question)
            assert answer.understood.kind in kinds
            assert answer.words
            assert (answer.understood.kind == NOT_KNOWN) <= (not answer.evidence)
        found = answers.answer(connection, odd, "where is odd defined?")
        # Such paths are quoted as git quotes them.
        assert [item.path for item in found.evidence] == [quote_path(ODD_PATH.encode())]


def test_odd_questions_are_stored(engine: Engine, odd: Snapshot) -> None:
    with engine.begin() as connection:
        for name in NAMES:
            requests.ask(connection, "project", f"where is {name} defined?", source="test")
        with pytest.raises(UsageError, match="0 characters"):
            requests.ask(connection, "project", " \n ", source="test")
    result = requests.work(engine, worker="test", limit=100)
    assert (result.resolved, result.failed) == (len(NAMES), 0)
