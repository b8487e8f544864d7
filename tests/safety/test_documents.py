"""Documents that people write: what is refused, and where."""

import pytest
from pydantic import BaseModel, ValidationError

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.documents import parse


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
        "x.yaml:1:1: the document: is no mapping of names to values"
    ]
