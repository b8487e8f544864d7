"""`where`: whatever finds, only the matches whose node satisfies it count."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers, ruff_matcher
from qflow_dagster.evolution.rules import Rule, load_rules, read_pack

IN_TEST = {
    "inside": {"kind": "function_definition", "has": {"field": "name", "regex": "^test_"}, "stopBy": "end"}
}
PACK = """\
pack: own
owner: team:me
rules:
  - id: own/rule
    title: A rule of our own
    rationale: Because it is ours.
    language: LANGUAGE
    category: correctness
    severity: warning
    matcher: MATCHER
    confidence: 0.9
    source: us
    examples:
      - bad: "BAD"
        good: "good()\\n"
"""


def rule_of(folder: Path, matcher: str, bad: str = "foo(1)\\n", language: str = "python") -> Rule:
    path = folder / "own.yaml"
    path.write_text(PACK.replace("MATCHER", matcher).replace("BAD", bad).replace("LANGUAGE", language))
    [rule] = read_pack(path)
    return rule


def spans(rule: Rule, text: str) -> list[str]:
    return [text[m.start : m.end] for m in examples.matches_in(rule, text, "a.py", "python")]


@pytest.mark.parametrize(
    ("matcher", "line"),
    [("{ast-grep: {rule: {pattern: $A == None}}, WHERE}", "x == None"), ("{ruff: E711, WHERE}", "None")],
)
def test_only_the_matches_whose_node_satisfies_it_are_found(tmp_path: Path, matcher: str, line: str) -> None:
    where = (
        "where: {not: {inside: {kind: function_definition, has: {field: name, regex: ^test_}, stopBy: end}}}"
    )
    text = "def f(x):\n    return x == None\n\n\ndef test_f(x):\n    return x == None\n"
    without = rule_of(tmp_path, matcher.replace(", WHERE", ""), "y = x == None\\n")
    narrowed = rule_of(tmp_path, matcher.replace("WHERE", where), "y = x == None\\n")
    assert spans(without, text) == [line, line]
    assert spans(narrowed, text) == [line]
    assert examples.problems(narrowed) == []


def test_of_functions_too(tmp_path: Path) -> None:
    text = 'key = "AKIAZ7EXQ2MNOP4RSTUV"\n\n\ndef test_key():\n    assert key == "AKIAZ7EXQ2MNOP4RSTUV"\n'
    bad = "key = 'AKIAZ7EXQ2MNOP4RSTUV'\\n"
    where = "where: {not: {inside: {kind: assert_statement, stopBy: end}}}"
    assert len(spans(rule_of(tmp_path, "{function: access_tokens}", bad), text)) == 2
    narrowed = rule_of(tmp_path, f"{{function: access_tokens, {where}}}", bad)
    assert spans(narrowed, text) == ["AKIA"]
    assert examples.problems(narrowed) == []


def test_examples_are_held_to_it(tmp_path: Path) -> None:
    rule = rule_of(
        tmp_path, "{ruff: E711, where: {inside: {kind: if_statement, stopBy: end}}}", "y = x == None\\n"
    )
    assert examples.problems(rule) == ["own/rule, example 1 (python): bad is not found"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("{kind: no_such_kind}", "Kind `no_such_kind` is invalid"),
        ("{insid: {kind: block}}", "unknown field `insid`"),
        ("{regex: '('}", "unclosed group"),
        ("{matches: helper}", "Rule `helper` is not defined"),
    ],
)
def test_what_ast_grep_refuses_is_named(tmp_path: Path, where: str, words: str) -> None:
    rule = rule_of(tmp_path, f"{{ruff: E711, where: {where}}}")
    with pytest.raises(UsageError) as error:
        matchers.check_matcher(rule)
    assert str(error.value).startswith("own/rule (python), where: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("matcher", "language", "words"),
    [
        (
            "{metric: {of: file, where: [fan_in > 3]}, where: {kind: call}}",
            "python",
            "a metric matches no node",
        ),
        ("{function: access_tokens, where: {kind: call}}", "any", "any has none"),
        ("{ruff: E711, where: {}}", "python", "at least 1 item"),
        ("{where: {kind: call}}", "python", "exactly one of"),
    ],
)
def test_where_it_means_nothing_it_is_refused_on_load(
    tmp_path: Path, matcher: str, language: str, words: str
) -> None:
    with pytest.raises(UsageError) as error:
        rule_of(tmp_path, matcher, language=language)
    assert words in str(error.value)


def test_it_decides_the_digest_and_leaves_those_without_it_as_they_were(tmp_path: Path) -> None:
    without = rule_of(tmp_path, "{ruff: E711}")
    # What a database has stored under before there was a `where`.
    assert without.digest.hex() == "2b6e555a87f3770ef39a6a212d2551273132203f202b45c01bfe9adb3e986a5b"
    assert "where" not in without.model_dump()["matcher"]
    digests = {
        rule_of(tmp_path, f"{{ruff: E711, where: {{kind: {kind}}}}}").digest
        for kind in ("call", "comparison_operator")
    }
    assert len(digests | {without.digest}) == 3


@pytest.mark.parametrize(
    ("text", "part", "node"),
    [
        # Of nodes with the same extent the largest, never the file.
        ("f(1)", "f(1)", "expression_statement"),
        ("f(1)", "1", "integer"),
        ("import json, os\n", "json", "dotted_name"),
        ("a = 1\nb = 2\n", "1\nb", "module"),
        ("x = 'ä𝄞' + f(1)\n", "f(1)", "call"),
        ("", "", "module"),
    ],
)
def test_the_node_a_span_is_about(text: str, part: str, node: str) -> None:
    start = text.index(part)
    root = matchers.Source(text, "a.py").root("python")
    assert matchers.covering(root, start, start + len(part)).kind() == node


E711 = next(rule for rule in load_rules() if rule.matcher.ruff == "E711")
FUNCTIONS = st.lists(
    st.tuples(st.sampled_from(["f", "test_f", "untested"]), st.integers(0, 3)), min_size=1, max_size=5
)


def with_where(rule: Rule, where: dict[str, Any]) -> Rule:
    return rule.model_copy(update={"matcher": rule.matcher.model_copy(update={"where": where})})


@settings(max_examples=15, deadline=None)
@given(FUNCTIONS)
def test_of_a_rule_of_ruff_it_keeps_exactly_what_satisfies_it(functions: list[tuple[str, int]]) -> None:
    text = "".join(f"def {name}(ä):\n    pass\n" + "    ä == None\n" * count for name, count in functions)
    inside, outside = with_where(E711, IN_TEST), with_where(E711, {"not": IN_TEST})
    source = matchers.Source(text, "a.py")
    found: list[list[int]] = [[], [], []]
    # All three in one run, though they have one code.
    for _, match in ruff_matcher.find_with_ruff([source], [E711, inside, outside], "py311"):
        found[match.rule].append(match.start)
    assert len(found[0]) == sum(count for _, count in functions)
    assert sorted(found[1] + found[2]) == sorted(found[0])
    for start in found[0]:
        enclosing = text[: start + 1].rsplit("def ", 1)[1]
        assert (start in found[1]) is enclosing.startswith("test_")
