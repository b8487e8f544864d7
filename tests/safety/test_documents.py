"""Documents that people write: what is refused, and where."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.documents import parse, read
from qflow_dagster.safety.storable import storable


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "x.yaml:1:5: "),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: 'a' is there twice"),
        ("- {b: 1, b: 2}\n", "x.yaml:1:10: 'b' is there twice"),
        (bomb(9), "more than 2,000,000 values, with its aliases written out"),
        ("a: &a [*a]", "x.yaml:1:4: more than"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, "x.yaml")
    assert words in str(refused.value)


def test_aliases_and_merges_are_allowed() -> None:
    assert parse("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", "x.yaml").data["c"] == {"x": 1, "y": 2}


def test_a_document_that_is_no_mapping_is_called_so() -> None:
    class Pack(BaseModel):
        name: str

    document = parse("- 1\n", "x.yaml")
    with pytest.raises(ValidationError) as refused:
        Pack.model_validate(document.data)
    assert list(document.problems(refused.value)) == [
        "x.yaml:1:1: the document: is not a mapping of names to values"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "input: {a: 2001-99-99}",
            "x.yaml:1:12: '2001-99-99' is not a valid timestamp: month must be in 1..12",
        ),
        ("a: 2001-01-01T25:00:00Z", "x.yaml:1:4: '2001-01-01T25:00:00Z' is not a valid timestamp: hour"),
        ("a: 9999-12-31T23:59:59-99:99", "x.yaml:1:4: "),
        ("? 2001-99-99\n: 1", "x.yaml:1:3: "),
        ("b: 1\na: " + "9" * 5_000, "x.yaml:2:4: a number of more than 300 digits"),
        ("a: 0x" + "f" * 5_000, "x.yaml:1:4: a number of more than 300 digits"),
        ("a: 1" + ":59" * 5_000, "x.yaml:1:4: a number of more than 300 digits"),
        ("a: .nan", "x.yaml:1:4: this cannot be stored"),
        ("a: [-.inf]", "x.yaml:1:5: this cannot be stored"),
        ("a: !!float .", "x.yaml:1:4: '.' is not a valid float"),
        ("a: !!float ''", "x.yaml:1:4: '' is not a valid float"),
        ("a: !!int x", "x.yaml:1:4: 'x' is not a valid int"),
        ("a: !!bool x", "x.yaml:1:4: 'x' is not a valid bool"),
        ("a: !!timestamp x", "x.yaml:1:4: 'x' is not a valid timestamp"),
        ("a: !!binary aGVsbG8=", "x.yaml:1:4: !!binary is not allowed"),
        ("a: !!set {b}", "x.yaml:1:4: !!set is not allowed"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "x.yaml:1:4: !!python/object/apply:os.system is not allowed",
        ),
        ("a: !secret x", "x.yaml:1:4: !secret is not allowed"),
        ("<<: 5", "x.yaml:1:5: expected a mapping"),
        ("a: {<<: [x]}", "x.yaml:1:10: expected a mapping"),
        ("? [a]\n: b", "x.yaml:1:3: a key is a text"),
        ("? {a: 1}\n: b", "x.yaml:1:3: a key is a text"),
        ("1: a\n0x1: b", "x.yaml:2:1: '0x1' is there twice"),
        ("1: a\n'1': b", "x.yaml:2:1: '1' is there twice"),
        ('a: 1\n"\\x61": 2', "x.yaml:2:1: 'a' is there twice"),
        ('a: "\\0"', "x.yaml:1:4: this cannot be stored"),
        ('a: "\\ud800"', "x.yaml:1:4: this cannot be stored"),
        ("b: 1\na: \0", "x.yaml:2:4: the character U+0000 is not allowed"),
        ("a: \ud800", "x.yaml:1:4: the character U+D800 is not allowed"),
        ("a: \x1b[31m", "x.yaml:1:4: the character U+001B is not allowed"),
        ("a:\n\t- b", "x.yaml:2:1: "),
        ("*a", "x.yaml:1:1: found undefined alias"),
        ("--- a\n--- b", "x.yaml:2:1: "),
        ("{a: " * 100_000, "x.yaml:1:1: nested too deeply"),
        ("- " * 50_000, "x.yaml:1:1: nested too deeply"),
        ("[" * 150 + "]" * 150, "x.yaml:1:101: nested too deeply"),
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_every_refusal_is_one_line_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, "x.yaml")
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)


def test_a_date_is_the_text_it_is_written_as_and_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert parse("a: 2001-12-14\nb: 2001-12-14t21:59:43.10-05:00", "x.yaml").data == {
        "a": "2001-12-14",
        "b": "2001-12-14t21:59:43.10-05:00",
    }
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(path).data == {"a": 1}


PIECES = st.sampled_from(
    [
        "a",
        "b: ",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\n",
        "\n  ",
        "\t",
        "&x ",
        "*x",
        "<<: ",
        "!!int ",
        "!!float ",
        "!!binary ",
        "!!timestamp ",
        "!!set ",
        "!!python/name:os ",
        "! ",
        "!<x> ",
        "|\n",
        ">-\n",
        "'",
        '"',
        "\\",
        '"\\0"',
        "2001-99-99",
        "2001-01-01",
        "0001-01-01T00:00:00+23:59",
        ".nan",
        "-.inf",
        ".",
        "1e999",
        "9" * 400,
        "0x",
        "0b2",
        "1:99",
        "=",
        "~",
        "--- ",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "#",
        "\0",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\x1b",
    ]
)
PLACE = re.compile(r"x\.yaml:[0-9]+:[0-9]+: \S")


@settings(max_examples=1_000, deadline=None)
@given(st.text(max_size=60) | st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_read_as_what_can_be_stored_or_refused_with_its_place(text: str) -> None:
    problem = data = None
    try:
        data = parse(text, "x.yaml").data
    except UsageError as error:
        problem = str(error)
    assert problem is None or (PLACE.match(problem) and "\n" not in problem)
    assert storable(data) == _with_text_keys(data)


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    problem = str(path)
    try:
        read(path)
    except UsageError as error:
        problem = str(error)
    assert problem.startswith(str(path))
