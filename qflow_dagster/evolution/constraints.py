"""What can be said of the code at a match, as rule objects of ast-grep: candidates for a constraint.

Belongs here: reading what is true of a node off the syntax tree, and saying it as ast-grep does and
in words. Does not belong here: which of it tells wanted from unwanted places (`separation`), what
becomes of a rule by it (`variants`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ast_grep_py import SgNode

# Names longer than that are no habit of anybody's.
MAX_NAME_LENGTH = 40
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# A word of a text: what stands between the \b of a regex.
_WORDS = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b")
# How names begin and end: test_, Test, _test, Error. Each finds in a name what its regex finds in others.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(__?)"), "^{}"),
    (re.compile(r"^([A-Za-z0-9]+_)"), "^{}"),
    (re.compile(r"^([A-Z]?[a-z0-9]+)(?=[A-Z])"), "^{}[A-Z]"),
    (re.compile(r"(_[A-Za-z0-9]+)$"), "{}$"),
    (re.compile(r"(?<=[a-z0-9])([A-Z][a-z0-9]*)$"), "[a-z0-9]{}$"),
)


class Form(NamedTuple):
    """A way of saying something: how much there is to say, in bits, the words, and the rule object."""

    bits: int
    words: str
    rule: Callable[[str, str], dict[str, Any]]


# Of a kind and a regex, `capture` and `spelling` of a metavariable. Of equal ones the first is preferred.
# `{no}` is where a negation goes.
FORMS: dict[str, Form] = {
    "capture": Form(1, "{no}where ${of} is {kind}", lambda kind, _: {"kind": kind}),
    "kind": Form(1, "{no}{kind}", lambda kind, _: {"kind": kind}),
    "inside": Form(1, "{no}inside {kind}", lambda kind, _: {"inside": {"kind": kind, "stopBy": "end"}}),
    "parent": Form(2, "{no}directly in {kind}", lambda kind, _: {"inside": {"kind": kind}}),
    "beginning": Form(
        2,
        "{no}inside {kind} that begins {regex}",
        lambda kind, regex: {"inside": {"kind": kind, "regex": regex, "stopBy": "end"}},
    ),
    "named": Form(
        2,
        "{no}inside {kind} named {regex}",
        lambda kind, regex: {
            "inside": {"kind": kind, "has": {"field": "name", "regex": regex}, "stopBy": "end"}
        },
    ),
    "has": Form(1, "{no}containing {kind}", lambda kind, _: {"has": {"kind": kind, "stopBy": "end"}}),
    "follows": Form(2, "{no}right after {kind}", lambda kind, _: {"follows": {"kind": kind}}),
    "precedes": Form(2, "{no}right before {kind}", lambda kind, _: {"precedes": {"kind": kind}}),
    "spelling": Form(2, "{no}where ${of} is {regex}", lambda _, regex: {"regex": regex}),
    "text": Form(2, "{no}with the text {regex}", lambda _, regex: {"regex": regex}),
}


class Constraint(NamedTuple):
    """Something that is true of the node a match covers, or of a metavariable of it, or is not."""

    form: str
    kind: str
    regex: str = ""
    # A metavariable's name; empty for the node itself.
    of: str = ""
    negated: bool = False

    @property
    def bits(self) -> int:
        """How much there is to say: a kind is less than how a name begins, that less than a whole name."""
        whole = (self.regex[:1], self.regex[-1:]) == ("^", "$") or self.regex.startswith(r"\b")
        return FORMS[self.form].bits + (3 if whole else 1 if self.regex else 0)

    @property
    def order(self) -> tuple:
        """What is simpler comes first."""
        return self.bits, list(FORMS).index(self.form), self

    @property
    def rule(self) -> dict[str, Any]:
        """As ast-grep says it."""
        rule = FORMS[self.form].rule(self.kind, self.regex)
        return {"not": rule} if self.negated else rule

    @property
    def words(self) -> str:
        """As a person says it."""
        kind = self.kind.replace("_", " ")
        kind = f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"
        no = "not " if self.negated else ""
        return FORMS[self.form].words.format(no=no, kind=kind, regex=self.regex, of=self.of)


def true_of(node: SgNode, text: str, variables: Iterable[str] = ()) -> set[Constraint]:
    """Everything that is said here of a node of that text, and of what those metavariables captured."""
    return {
        *_around(node, text),
        *_within(node),
        *_beside(node),
        *(said for name in variables for said in _captured(node, name)),
    }


def names(name: str) -> Iterator[str]:
    """Regexes of that name: how it begins, how it ends, itself."""
    if len(name) <= MAX_NAME_LENGTH and _WORD.fullmatch(name):
        for shape, regex in _SHAPES:
            if found := shape.search(name):
                yield regex.format(found[1])
        yield f"^{name}$"


def _around(node: SgNode, text: str) -> Iterator[Constraint]:
    parent = node.parent()
    # The root is around everything.
    ancestors = [one for one in node.ancestors() if one.parent() is not None]
    if parent is not None:
        yield from (Constraint("parent", kind) for kind in _kind(parent))
    for ancestor in ancestors:
        for kind in _kind(ancestor):
            yield Constraint("inside", kind)
            first = _WORD.match(text, ancestor.range().start.index)
            if first and len(first[0]) <= MAX_NAME_LENGTH:
                yield Constraint("beginning", kind, rf"^{first[0]}\b")
            name = ancestor.field("name")
            if name is not None:
                yield from (Constraint("named", kind, regex) for regex in names(name.text()))


def _within(node: SgNode) -> Iterator[Constraint]:
    yield from (Constraint("kind", kind) for kind in _kind(node))
    yield from (
        Constraint("text", "", rf"\b{word}\b")
        for word in set(_WORDS.findall(node.text()))
        if len(word) <= MAX_NAME_LENGTH
    )
    left = node.children()
    while left:
        one = left.pop()
        yield from (Constraint("has", kind) for kind in _kind(one))
        left += one.children()


def _beside(node: SgNode) -> Iterator[Constraint]:
    for form, sibling in (("follows", node.prev()), ("precedes", node.next())):
        if sibling is not None:
            yield from (Constraint(form, kind) for kind in _kind(sibling))


def _captured(node: SgNode, name: str) -> Iterator[Constraint]:
    captured = node.get_match(name)
    if captured is not None:
        yield from (Constraint("capture", kind, of=name) for kind in _kind(captured))
        yield from (Constraint("spelling", "", regex, of=name) for regex in names(captured.text()))


def _kind(node: SgNode) -> tuple[str, ...]:
    """The node's kind where a rule can ask for it."""
    kind = node.kind()
    return (kind,) if node.is_named() and kind != "ERROR" else ()
