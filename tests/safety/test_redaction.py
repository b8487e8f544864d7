"""Secrets are taken out of text and data, by what they look like or by the name they stand under."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.safety.logs import SafeFilter
from qflow_dagster.safety.redaction import REDACTED, cut, redact, redact_text
from tests.safety.secrets_corpus import HONEST, Planted, corpus


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("https://ada:planted@example.org/x", "https://ada:[redacted]@example.org/x"),
        ("PASSWORD=planted next", "PASSWORD=[redacted] next"),
        ('{"apiKey": "planted"}', '{"apiKey": "[redacted]"}'),
        ("Authorization: Bearer plantedplanted1", "Authorization: [redacted]"),
        ("sk-plantedplantedplantedplanted!", "[redacted]!"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.planted", "[redacted]"),
        ("xoxb-planted-planted", "[redacted]"),
        ("glpat-plantedplantedplanted", "[redacted]"),
    ],
)
def test_what_looks_like_a_secret_is_replaced_and_the_rest_stays(words: str, kept: str) -> None:
    assert redact_text(words) == kept


@pytest.mark.parametrize(
    "words",
    [
        "no answer from 10.0.0.1",
        "key error: 'sku'",
        "https://example.org/a:b",
        "the token is missing",
        "3f2a9c1",
        "passed",
    ],
)
def test_ordinary_words_stay(words: str) -> None:
    assert redact_text(words) == words


def test_values_under_a_secret_name_are_replaced_however_deep() -> None:
    data = {
        "a": [{"Set-Cookie": "planted", "db_password": {"x": "planted"}, "token": None, "n": 3}],
        "b": ("planted=1",),
    }
    assert redact(data) == {
        "a": [{"Set-Cookie": REDACTED, "db_password": REDACTED, "token": None, "n": 3}],
        "b": ["planted=1"],
    }
    deep: object = "x"
    for _ in range(5_000):
        deep = [deep]
    assert redact(deep) is not None


@given(st.text())
def test_redacting_twice_changes_nothing_more(words: str) -> None:
    once = redact_text(words)
    assert redact_text(once) == once


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "words",
    [
        "a" * 100_000,
        "token" * 20_000,
        "-" * 100_000,
        "-----BEGIN " * 9_000,
        "://" * 30_000,
        "password" * 10_000 + ":" * 10_000,
    ],
)
def test_no_text_makes_it_slow(words: str) -> None:
    redact_text(words)


def test_a_text_that_is_cut_keeps_no_part_of_a_secret() -> None:
    words = "the token is ghp_" + "a1B2" * 9
    assert cut(words, len(words) - 10) == "the token is [redacted]"
    assert cut(words, len(words)) == words


@pytest.mark.parametrize("planted", corpus(), ids=lambda planted: planted.kind)
def test_each_planted_secret_is_taken_out_wherever_it_stands(planted: Planted) -> None:
    for text in (planted.text, f"failed: {planted.text}\nnext line", f"x\n  {planted.text}"):
        once = redact_text(text)
        assert planted.secret not in once
        assert REDACTED in once
        assert redact_text(once) == once
    assert planted.secret not in str(redact({"a": [{"b": planted.text}], planted.text: 1}))


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_stays_readable(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ([["Cookie", "planted"], ["X-Api-Key", "planted"]], [["Cookie", REDACTED], ["X-Api-Key", REDACTED]]),
        (("password", "planted"), ["password", REDACTED]),
        (["run", "--password", "planted", "x"], ["run", "--password", REDACTED, "x"]),
        (["run", "--db-password", "planted"], ["run", "--db-password", REDACTED]),
        ([{"name": "DB_PASSWORD", "value": "planted"}], [{"name": "DB_PASSWORD", "value": REDACTED}]),
        ({"Key": "API_TOKEN", "Value": "planted"}, {"Key": "API_TOKEN", "Value": REDACTED}),
        ({"header": "Cookie", "value": ["planted"]}, {"header": "Cookie", "value": REDACTED}),
        ({"passwords": ["planted", "x"]}, {"passwords": REDACTED}),
        ({"tokens": ["planted"], "password2": "planted"}, {"tokens": REDACTED, "password2": REDACTED}),
        ({"auth": "planted", "pass": "planted"}, {"auth": REDACTED, "pass": REDACTED}),
        (
            {"SECRET_KEY_BASE": "planted", "sessionid": "x"},
            {"SECRET_KEY_BASE": REDACTED, "sessionid": REDACTED},
        ),
        ({"csrftoken": "planted", "dbpwd": "x"}, {"csrftoken": REDACTED, "dbpwd": REDACTED}),
    ],
)
def test_secrets_are_found_in_data_by_what_names_them(data: object, kept: object) -> None:
    assert redact(data) == kept
    assert redact(kept) == kept


@pytest.mark.parametrize(
    "data",
    [
        ["the token is missing", "ada"],
        ["one", "token", "two"],
        ["tokens", 12],
        {"pass": 12, "fail": 0},
        {"name": "ada", "value": "x", "author": "y"},
        {"name": "DB_PASSWORD", "value": None},
    ],
)
def test_honest_data_stays_readable(data: object) -> None:
    assert redact(data) == data


def test_counts_of_tokens_and_folders_stay_under_their_names() -> None:
    honest = {
        "input_tokens": 1200,
        "PWD": "/root",
        "max_tokens": 4096.0,
        "token": None,
        "secret": False,
    }
    assert redact(honest) == honest
    assert redact({"DB_PWD": "planted", "accountKey": "planted", "npm_config__auth": "planted"}) == {
        "DB_PWD": REDACTED,
        "accountKey": REDACTED,
        "npm_config__auth": REDACTED,
    }


def test_logs_leave_without_secrets() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "login with %s", ("password=planted",), None)
    assert SafeFilter().filter(record)
    assert record.getMessage() == "login with password=[redacted]"
