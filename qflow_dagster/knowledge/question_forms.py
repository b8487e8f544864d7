"""Forms of questions that work: which a question may be meant as, and how one was read.

Belongs here: a form of each kind, as people would write it. Does not belong here: other wordings (`question_patterns`,
`learned_wordings`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge.learned_wordings import Reading
from qflow_dagster.knowledge.questions import ParsedQuestion

# A form of each kind, as people would write it.
FORMS = {
    "defined": "where is X defined",
    "used": "who calls X",
    "calls": "what does X call",
    "describe": "what does X do",
    "members": "what are the methods of X",
    "subclasses": "which classes inherit from X",
    "bases": "what does X inherit from",
    "raised": "where is X raised",
    "raises": "which exceptions does X raise",
    "word": "where is X read",
    "dependents": "what depends on FILE",
    "dependencies": "what does FILE import",
    "affected": "what breaks if I change X",
    "tests": "which tests cover X",
    "relation": "how are X and Y related",
    "placement": "where should I add something like X",
    "purpose": "what is FILE for",
    "between": "what changed between REVISION and REVISION",
    "active": "who works on what now",
    "removed": "when was X removed",
    "configuration": "which environment variables are read",
    "requirements": "what are the dependencies of the project",
    "next": "what should I do first",
    "owner": "who knows X",
    "introduced": "when was X introduced",
    "history": "when was X last changed",
    "coupled": "what changes together with FILE",
    "hotspot": "why is X complex",
    "rules": "what is wrong with FILE",
    "similar": "what is similar to X",
    "dead": "is there dead code",
    "overview": "what are the hotspots",
    "licence": "what is the licence",
    "running": "what are the entry points",
    "testing": "how do I run the tests",
}
# Kinds whose form has no subject, which may have one.
_OF_PLACES = frozenset(["dead", "active", "next", "requirements", "configuration"])


def nearest_forms(names: Sequence[str], readings: Sequence[Reading]) -> list[str]:
    """Return forms of questions that work, of the kinds that a question may be of, with its names."""
    forms = [form for reading in readings[: len(FORMS)] if (form := FORMS.get(reading.kind))]
    first, second = [*names, "Y"][:2] if names else ("X", "Y")
    filled = {"X": first, "Y": second, "FILE": first if names else "FILE"}
    return [re.sub(r"\b(?:X|Y|FILE)\b", lambda match: filled[match[0]], form) for form in forms[:4]]


def form_of(understood: ParsedQuestion) -> str:
    """Return a question as it was read, in the form of its kind."""
    form = FORMS[understood.kind]
    if understood.kind == "between":
        older, _, newer = understood.subject.partition("..")
        return form.replace("REVISION", older or "the release before", 1).replace("REVISION", newer or "now")
    if understood.kind == "overview":
        return f"what are the {understood.subject}" if understood.subject else form
    of = understood.subject if understood.kind in _OF_PLACES else ""
    filled = {"X": understood.subject, "FILE": understood.subject, "Y": understood.other}
    return re.sub(r"\b(?:X|Y|FILE)\b", lambda match: filled[match[0]], form) + (f" ({of})" if of else "")
