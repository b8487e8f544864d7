"""Candidate constraints: properties of the code at a match, as ast-grep rule objects with a description.

Which of them separate wanted from unwanted locations is decided in `separation`; `variants` adds
them to rules.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ast_grep_py import SgNode

# Longer names follow no naming convention.
MAX_NAME_LENGTH = 40
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# A word of a text, as the \b of a regex delimits it.
_WORDS = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b")
# Prefixes and suffixes of names: test_, Test, _test, Error. Each pattern extracts from a name the part
# that the regex beside it finds in other names.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(__?)"), "^{}"),
    (re.compile(r"^([A-Za-z0-9]+_)"), "^{}"),
    (re.compile(r"^([A-Z]?[a-z0-9]+)(?=[A-Z])"), "^{}[A-Z]"),
    (re.compile(r"(_[A-Za-z0-9]+)$"), "{}$"),
    (re.compile(r"(?<=[a-z0-9])([A-Z][a-z0-9]*)$"), "[a-z0-9]{}$"),
)


class Form(NamedTuple):
    """A kind of constraint: its description length in bits, its description, and its ast-grep rule object."""

    bits: int
    template: str
    rule: Callable[[str, str], dict[str, Any]]


# Built from a node kind and a regex; `capture` and `spelling` are about a metavariable. Of equal forms the
# first is preferred. `{no}` is the position of a negation.
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
    """A property of the matched node, or of one of its metavariables; possibly negated."""

    form: str
    kind: str
    regex: str = ""
    # A metavariable's name; empty for the node itself.
    of: str = ""
    negated: bool = False

    @property
    def bits(self) -> int:
        """The description length: a kind is shorter than a prefix of a name, that shorter than a complete name."""
        complete = (self.regex[:1], self.regex[-1:]) == ("^", "$") or self.regex.startswith(r"\b")
        return FORMS[self.form].bits + (3 if complete else 1 if self.regex else 0)

    @property
    def order(self) -> tuple:
        """The sort key that puts simpler constraints first."""
        return self.bits, list(FORMS).index(self.form), self

    @property
    def rule(self) -> dict[str, Any]:
        """The constraint as an ast-grep rule object."""
        rule = FORMS[self.form].rule(self.kind, self.regex)
        return {"not": rule} if self.negated else rule

    @property
    def description(self) -> str:
        """The constraint in English."""
        kind = self.kind.replace("_", " ")
        kind = f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"
        no = "not " if self.negated else ""
        return FORMS[self.form].template.format(no=no, kind=kind, regex=self.regex, of=self.of)


def true_of(node: SgNode, text: str, variables: Iterable[str] = ()) -> set[Constraint]:
    """Return all constraints that hold for a node of `text`, and for what the metavariables captured."""
    return {
        *_around(node, text),
        *_within(node),
        *_beside(node),
        *(constraint for name in variables for constraint in _captured(node, name)),
    }


def names(name: str) -> Iterator[str]:
    """Yield regexes for a name: its prefixes, its suffixes, the complete name."""
    if len(name) <= MAX_NAME_LENGTH and _WORD.fullmatch(name):
        for shape, regex in _SHAPES:
            if part := shape.search(name):
                yield regex.format(part[1])
        yield f"^{name}$"


def _around(node: SgNode, text: str) -> Iterator[Constraint]:
    parent = node.parent()
    # Without the root, which surrounds every node.
    ancestors = [ancestor for ancestor in node.ancestors() if ancestor.parent() is not None]
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
    pending = node.children()
    while pending:
        descendant = pending.pop()
        yield from (Constraint("has", kind) for kind in _kind(descendant))
        pending += descendant.children()


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
    """Return the node's kind, or nothing where a rule cannot refer to it."""
    kind = node.kind()
    return (kind,) if node.is_named() and kind != "ERROR" else ()
