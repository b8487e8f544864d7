"""Anti-unification: templates have both of their instances, whatever those are; and edits are cut out right."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.evolution.mining.anti_unification import (
    Edit,
    Hole,
    Term,
    Tree,
    anti_unify,
    concreteness,
    hierarchy,
    holes,
    match,
    match_edit,
    substitute,
    written,
)
from qflow_dagster.evolution.mining.concrete_edits import concrete_edits

NAMES = st.sampled_from(["a", "b", "foo", "bar"])


def leaf(kind: str, text: str, *, named: bool = True) -> Term:
    return Term(kind, text, (), named)


def call(function: Term, arguments: list[Term]) -> Term:
    inside: list[Tree] = []
    for argument in arguments:
        inside += [leaf(",", ",", named=False)] * bool(inside) + [argument]
    brackets = leaf("(", "(", named=False), leaf(")", ")", named=False)
    return Term("call", "", (function, Term("arguments", "", (brackets[0], *inside, brackets[1]))))


def operation(left: Term, operator: str, right: Term) -> Term:
    return Term("operation", "", (left, leaf(operator, operator, named=False), right))


LEAVES = st.builds(leaf, st.sampled_from(["name", "string"]), NAMES)
TERMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(call, st.builds(leaf, st.just("name"), NAMES), st.lists(inner, max_size=3)),
        st.builds(operation, inner, st.sampled_from(["+", "-"]), inner),
    ),
    max_leaves=8,
)
EDITS = st.builds(Edit, TERMS, TERMS)
# Edits that have something in common: a call becomes another call of the same arguments.
RENAMED = st.builds(
    lambda old, new, arguments: Edit(call(leaf("name", old), arguments), call(leaf("name", new), arguments)),
    st.just("old"),
    st.just("new"),
    st.lists(TERMS, max_size=3),
)
PAIRS = st.one_of(st.tuples(EDITS, EDITS), st.tuples(RENAMED, RENAMED), st.builds(lambda e: (e, e), EDITS))


@given(PAIRS)
def test_a_template_has_both_instances_and_gives_them_back(pair: tuple[Edit, Edit]) -> None:
    template = anti_unify(*pair)
    if template is None:
        return
    for edit in pair:
        bindings = match_edit(template, edit)
        assert bindings is not None
        assert substitute(template.left, bindings).key == edit.left.key
        assert substitute(template.right, bindings).key == edit.right.key


@given(PAIRS)
def test_generalising_does_not_depend_on_the_order(pair: tuple[Edit, Edit]) -> None:
    one, other = anti_unify(*pair), anti_unify(pair[1], pair[0])
    # Holes are named from the left, so even the names are the same.
    assert (one and one.key) == (other and other.key)


@given(EDITS)
def test_generalising_an_edit_with_itself_gives_the_edit(edit: Edit) -> None:
    template = anti_unify(edit, edit)
    assert template is not None
    assert template.key == edit.key


@given(PAIRS)
def test_an_instance_adds_nothing_to_its_template(pair: tuple[Edit, Edit]) -> None:
    template = anti_unify(*pair)
    if template is not None:
        again = anti_unify(template, pair[1])
        assert again is not None
        assert again.key == template.key


@given(PAIRS)
def test_what_the_right_needs_the_left_binds(pair: tuple[Edit, Edit]) -> None:
    template = anti_unify(*pair)
    if template is not None:
        assert {hole.name for hole in holes(template.right)} <= {hole.name for hole in holes(template.left)}
        assert not isinstance(template.left, Hole)


@given(RENAMED, RENAMED)
def test_calls_of_any_arguments_have_a_template(one: Edit, other: Edit) -> None:
    template = anti_unify(one, other)
    assert template is not None
    assert written(template.left).replace("old", "new") == written(template.right)


@given(st.lists(st.one_of(EDITS, RENAMED), max_size=6))
def test_every_template_of_the_hierarchy_has_all_its_members(edits: list[Edit]) -> None:
    for cluster in hierarchy(edits):
        assert all(match_edit(cluster.template, edits[i]) is not None for i in cluster.members)


@given(TERMS)
def test_a_term_comes_back_from_a_pickle(term: Term) -> None:
    assert pickle.loads(pickle.dumps(term)) == term


def edit_of(before: str, after: str, language: str = "python") -> Edit:
    return max(
        (one.edit for one in concrete_edits(before, after, language)), key=lambda e: len(written(e.left))
    )


def template_of(*pairs: tuple[str, str], language: str = "python") -> tuple[str, str] | None:
    edits = [edit_of(*pair, language) for pair in pairs]
    template: Edit | None = edits[0]
    for edit in edits[1:]:
        template = template and anti_unify(template, edit)
    return template and (written(template.left), written(template.right))


def test_the_same_hole_is_on_both_sides() -> None:
    assert template_of(("d.has_key(x)", "x in d"), ("self.names.has_key(n + 1)", "n + 1 in self.names")) == (
        "$A.has_key($B)",
        "$B in $A",
    )


def test_the_same_subterm_is_the_same_hole() -> None:
    assert template_of(("f(x, x)", "g(x)"), ("f(y, y)", "g(y)")) == ("f($A, $A)", "g($A)")


def test_any_number_of_arguments_is_one_hole() -> None:
    assert template_of(
        ("log.warn(a)", "log.warning(a)"), ("log.warn(a, b, c=1)", "log.warning(a, b, c=1)")
    ) == (
        "log.warn($$$A)",
        "log.warning($$$A)",
    )
    assert template_of(("run(a)", "call(self, a)"), ("run(b, c)", "call(self, b, c)")) == (
        "run($$$A)",
        "call(self, $$$A)",
    )


def test_a_right_side_that_says_something_new_has_no_template() -> None:
    assert template_of(("f(x)", "g(1)"), ("f(y)", "g(2)")) is None


def test_a_kind_that_all_share_is_kept() -> None:
    template = anti_unify(edit_of('f("a")', 'g("a")'), edit_of('f("b")', 'g("b")'))
    assert template is not None
    assert [hole.kind for hole in holes(template.left)] == ["string"]
    assert match(template.left, edit_of("f(x)", "g(x)").left) is None


def test_how_much_is_said() -> None:
    assert concreteness(edit_of("ioutil.ReadFile(x)", "os.ReadFile(x)").left) == 5
    assert concreteness(edit_of("self.x", "self.y").left) == 2


BEFORE = """\
import os

def first(d, key):
    # A comment.
    if d.has_key(key):
        return open(key)

def second(d):
    return 1
"""


def test_edits_are_cut_out_at_every_level() -> None:
    after = BEFORE.replace("d.has_key(key)", "key in d").replace("return 1", "new()\n    return 1")
    found = concrete_edits(BEFORE, after, "python")
    assert [(one.line, written(one.edit.left), written(one.edit.right)) for one in found] == [
        (5, "d.has_key(key)", "key in d"),
        (5, "if d.has_key(key):\n    return open(key)", "if key in d:\n    return open(key)"),
    ]


def test_formatting_is_no_edit() -> None:
    after = BEFORE.replace("d.has_key(key)", "d.has_key( key )").replace("\n\ndef", "\n\n\ndef")
    assert concrete_edits(BEFORE, after, "python") == []
    assert concrete_edits(BEFORE, BEFORE.replace("A comment", "Another"), "python") == []


def test_further_lines_are_indented_as_their_statement_is() -> None:
    before = "def f():\n    if x:\n        call(a,\n             b)\n"
    edit = edit_of(before, before.replace("call", "other"))
    assert written(edit.left) == "call(a,\n     b)"


def test_hostile_texts_cost_nothing() -> None:
    deep = "x = " + "(" * 3_000 + "1" + ")" * 3_000
    wide = "x = [" + "1, " * 20_000 + "]"
    broken = "def (:\n" * 500
    for text in (deep, wide, broken, "x" * 400_000, "\0\ud7ff\n"):
        concrete_edits(text + "\ny = f(1)\n", text.replace("1", "2") + "\ny = g(1)\n", "python")
