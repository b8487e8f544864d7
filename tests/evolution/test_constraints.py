"""Constraints: what is said of code is what ast-grep makes of it, in every language."""

import random
from collections import defaultdict

import pytest
from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution.constraints import Constraint, names, true_of
from qflow_dagster.evolution.matchers import LANGUAGES
from qflow_dagster.evolution.rules import load_rules

TEXTS: dict[str, list[str]] = defaultdict(list)
for rule in load_rules():
    for language in rule.language:
        TEXTS[language] += [str(text) for one in rule.examples for text in (one.bad, one.good)]


def nodes_of(language: str, lot: random.Random) -> list[tuple[SgNode, set[Constraint]]]:
    nodes = []
    for text in lot.sample(TEXTS[language], min(len(TEXTS[language]), 20)):
        below = SgRoot(text, language).root().find_all({"rule": {"regex": ".", "inside": {"regex": "."}}})
        nodes += [(node, true_of(node, text)) for node in lot.sample(below, min(len(below), 3))]
    return nodes


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_what_is_said_of_a_node_is_true_of_it_and_of_no_other(language: str) -> None:
    lot = random.Random(language)
    nodes = nodes_of(language, lot)
    said = sorted(set().union(*(true for _, true in nodes)))
    assert len({one.form for one in said}) >= 7
    for constraint in lot.sample(said, 60):
        for node, true in nodes:
            assert node.matches(**constraint.rule) is (constraint in true)
            assert node.matches(**constraint._replace(negated=True).rule) is (constraint not in true)


def test_a_metavariable_is_spoken_of_by_its_name() -> None:
    node = SgRoot("foo(test_x, 'a b')\n", "python").root().find(pattern="foo($A, $B)")
    assert node is not None
    said = {one for one in true_of(node, "foo(test_x, 'a b')\n", ["A", "B", "C"]) if one.of}
    assert {one.description for one in said} == {
        "where $A is an identifier",
        "where $A is ^test_",
        "where $A is _x$",
        "where $A is ^test_x$",
        "where $B is a string",
    }


@pytest.mark.parametrize(
    ("name", "regexes"),
    [
        ("test_all_of_it", ["^test_", "_it$", "^test_all_of_it$"]),
        ("TestRunner", ["^Test[A-Z]", "[a-z0-9]Runner$", "^TestRunner$"]),
        ("_private", ["^_", "_private$", "^_private$"]),
        ("__init__", ["^__", "^__init__$"]),
        ("run", ["^run$"]),
        ("a.b", []),
        ("n" * 41, []),
    ],
)
def test_names_begin_and_end_and_are_themselves(name: str, regexes: list[str]) -> None:
    assert list(names(name)) == regexes


def test_a_name_takes_more_words_than_a_kind() -> None:
    kind = Constraint("inside", "function_definition")
    prefix = Constraint("named", "function_definition", "^test_")
    name = Constraint("named", "function_definition", "^test_all$")
    assert kind.bits < prefix.bits < name.bits
    assert prefix._replace(negated=True).description == "not inside a function definition named ^test_"
    assert Constraint("has", "except_clause").description == "containing an except clause"
