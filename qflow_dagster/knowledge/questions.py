"""The subject of a question, by patterns and without the database. A question that matches none is a search.

Belongs here: the kinds of questions and their wordings. Does not belong here: answering them (`answers`).
"""

import re
from typing import NamedTuple

MAX_LENGTH = 2_000

# The first match counts. S is the subject.
_S = r"(?P<subject>.+?)"
_PATTERNS = {
    "used": [
        rf"where (?:is|are|do we use|does .* use) {_S} (?:used|called|referenced|instantiated|invoked)",
        rf"(?:who|what|which \w+) (?:calls|uses|invokes|instantiates|references) {_S}",
        rf"(?:callers|usages?|uses|references) of {_S}",
        rf"how many (?:places|functions|callers) (?:call|use) {_S}",
    ],
    "defined": [
        rf"where (?:is|are|can i find|do i find) {_S} (?:defined|declared|implemented|located|written)",
        rf"(?:which|what|in which|in what) file (?:is {_S} (?:defined|declared|implemented) in|"
        rf"(?:defines|declares|implements|contains) (?P<subject2>.+?))",
        rf"(?:in which|in what|which|what) file is {_S} (?:defined|declared|implemented)",
        rf"(?:definition|declaration|implementation|location) of {_S}",
    ],
    "dependents": [
        rf"(?:who|what|which \w+|how many files) (?:depends? on|imports?|includes?|requires?) {_S}",
        rf"what (?:breaks|is affected|would break) (?:if|when) {_S} (?:is )?(?:changes?|changed|removed|breaks)",
        rf"(?:dependents|importers) of {_S}",
    ],
    "dependencies": [
        rf"what (?:does|do) {_S} (?:depend on|imports?|include|require)",
        rf"(?:dependencies|imports) of {_S}",
    ],
    "calls": [
        rf"what (?:does|do) {_S} call",
        rf"(?:which|what) functions (?:does|are called by) {_S}(?: call)?",
    ],
    "history": [
        rf"(?:when was|who) (?:last )?(?:changed|touched|modified|edited) {_S}(?: last| most recently)?",
        rf"when was {_S} (?:last )?(?:changed|touched|modified|edited|added|created)",
        rf"why was {_S} (?:changed|added|modified)",
        rf"(?:recent|latest|last) (?:changes?|commits?) (?:of|to|in|on|for) {_S}",
        rf"(?:history|changelog) of {_S}",
    ],
    "owner": [
        rf"who (?:knows|owns|maintains|wrote|understands|is responsible for|knows about) {_S}(?: best| most)?",
        rf"(?:who is the )?(?:owner|main author|maintainer|expert|authors?) (?:of|on|for) {_S}",
        rf"who(?:m)? (?:should|can|do) i ask about {_S}",
    ],
    "coupled": [
        r"(?:what|which files?)(?: else)? (?:changes?|is changed|are changed|must change)(?: together)? "
        rf"(?:with|when) {_S}(?: changes?| is changed)?",
        rf"(?:what|which files) (?:is|are) coupled (?:to|with) {_S}",
    ],
    "hotspot": [
        rf"why is {_S} (?:a )?(?:hotspot|hot spot|complex|risky|hard to (?:change|read|maintain))",
        rf"how (?:complex|risky|big|large|long) is {_S}",
        rf"(?:metrics|complexity) of {_S}",
    ],
    "rules": [
        r"(?:what|which) (?:rules?|findings?|issues?|problems?) "
        rf"(?:fits?|applies to|apply to|are there in|in|of|has|are found in) {_S}",
        rf"what(?:'s| is) wrong (?:with|in) {_S}",
        rf"(?:findings|issues|problems) (?:in|of) {_S}",
    ],
    "similar": [
        rf"(?:which|what) files? (?:is|are) (?:most )?(?:similar to|like|copies of|clones of|duplicates of) {_S}",
        rf"(?:clones|duplicates|copies) (?:of|in) {_S}",
        rf"what is (?:similar to|duplicated in) {_S}",
    ],
    "tests": [
        rf"(?:which|what|where) (?:are the |are )?tests? (?:covers?|cover|tests?|for|of|exercises?|call|calls) {_S}",
        rf"where is {_S} tested",
        rf"is {_S} tested",
    ],
    "members": [
        r"(?:which|what) (?:methods|functions|members|classes) "
        rf"(?:does|do|has|are in|are there in) {_S}(?: have| define| contain)?"
    ],
    "overview": [
        r"(?P<subject>hotspots)",
        r"(?:what|which|where) are the (?P<subject2>hotspots)",
        r"(?:what|which) (?:is|are) the (?P<subject3>(?:most complex|largest|biggest|longest|most changed|"
        r"most imported) (?:functions?|files?))",
        r"(?:which|what) (?P<subject4>languages?).*",
        r"who are the (?:main |top )?(?P<subject5>authors|contributors|maintainers)",
        r"how many (?P<subject6>files|lines|commits|authors|functions|symbols)\b.*",
    ],
    "describe": [
        rf"what (?:does|do) {_S} do",
        rf"(?:what is the )?(?:signature|docstring|parameters|arguments) of {_S}",
        rf"(?:explain|describe|show me|show) {_S}",
        rf"(?:what is|what's|what are) {_S}",
    ],
}
_COMPILED = {
    kind: [re.compile(rf"^(?:{pattern})$", re.IGNORECASE) for pattern in patterns]
    for kind, patterns in _PATTERNS.items()
}
_NOISE = re.compile(
    r"^(?:the |a |an |this |our )*(?:(?:function|method|class|struct|type|interface|trait|module|file|symbol|macro|"
    r"constant|package|variable|enum) )?(?:called |named )?",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r" (?:function|method|class|struct|type|interface|trait|module|file|symbol|macro|package)$", re.IGNORECASE
)
_NAME = re.compile(r"[\w./:\-<>$@#~*+!?]+(?:\(\))?$")


class ParsedQuestion(NamedTuple):
    """The kind of a question (or `search`) and its subject."""

    kind: str
    subject: str


def parse(question: str) -> ParsedQuestion:
    """Return the kind of a question and its subject; a question that matches no pattern is a search for its words."""
    normalized = " ".join(question.strip().rstrip("?!. ").split())[:MAX_LENGTH]
    for kind, patterns in _COMPILED.items():
        for pattern in patterns:
            match = pattern.match(normalized)
            if not match:
                continue
            subject = subject_of(next(value for value in match.groups() if value))
            # A subject that is not a name makes the question a search.
            if kind == "overview" or _NAME.match(subject):
                return ParsedQuestion(kind, subject)
    return ParsedQuestion("search", normalized)


def subject_of(phrase: str) -> str:
    """Return the name in a phrase: without quotes, articles, its kind (function, class, ...) and parentheses."""
    quoted = re.search(r"[`'\"]([^`'\"]+)[`'\"]", phrase)
    subject = quoted.group(1) if quoted else _TRAILING.sub("", _NOISE.sub("", phrase.strip()))
    return subject.strip().removesuffix("()")
