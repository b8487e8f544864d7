"""The subject of a question, by patterns and without the database. A question that matches none is a search.

Belongs here: trying the patterns. Does not belong here: the patterns (`question_patterns`), answering (`answers`).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from qflow_dagster.knowledge import learned_wordings, time_windows
from qflow_dagster.knowledge.learned_wordings import Exist, Reading
from qflow_dagster.knowledge.plain_wordings import (
    ASKS_FOR,
    CONTRACTED,
    CONTRACTIONS,
    FILLERS,
    INDIRECT,
    LEADS,
    REWORDED,
)
from qflow_dagster.knowledge.question_clauses import REMARK, halves, resolved
from qflow_dagster.knowledge.question_names import Names, is_version
from qflow_dagster.knowledge.question_patterns import PATTERNS
from qflow_dagster.knowledge.question_subjects import subjects
from qflow_dagster.knowledge.runtime_versions import runtime_of
from qflow_dagster.safety.storable import storable_text

MAX_LENGTH = 2_000
MAX_CLAUSES = 20
# What is less likely is no answer; no answer without a name; not certain, and said to be so (a quarter of what is less
# likely is read wrongly); what is likelier overrules a pattern.
MIN_PROBABILITY, MIN_WITHOUT_NAME, CERTAIN, SURE = 0.4, 0.6, 0.8, 0.9

_NOISE = re.compile(
    r"^(?:the |a |an |this |our )*(?:(?:function|method|class|struct|type|interface|protocol|trait|module|"
    r"file|folder|directory|crate|symbol|macro|"
    r"exception|error|fixture|decorator|"
    r"constant|package|plugin|variable|enum) )?(?:called |named )?",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r" (?:function|method|class|struct|type|interface|trait|module|file|folder|crate|symbol|macro|package|plugin|"
    r"exception|error|fixture|decorator)$",
    re.IGNORECASE,
)
# What words of a language do not have.
_NAME_OF_CODE = re.compile(r"[A-Z0-9_./:]")
# "a cache", "tests" and "we" are no names; `a Loaf` is one, for it is written like code.
_ANY = re.compile(r"(?:a|an|any|some|these|those) ", re.IGNORECASE)
_OF_MANY = re.compile(
    r"(?:tests|functions|methods|classes|modules|files|types|errors|exceptions|commits|changes|bugs|users|we|you|they)$",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w./:\-<>$@#~*+!?]+(?:<[\w,.?]*>)?(?:\(\))?$")


_CODEBASE = r"(?:code ?base|repository|repo|project|source code|source|code|library|package)"
# Of these the opposite is another question: "which classes do not inherit from X".
_POSITIVE = frozenset(
    [
        "bases",
        "calls",
        "dependencies",
        "dependents",
        "members",
        "raised",
        "raises",
        "relation",
        "subclasses",
        "tests",
    ]
)
_NEGATED = re.compile(
    r"(?<=\w )(?:do|does|did|is|are|was|were|has|have)(?: not|n['\u2019]t)\b|\bnever\b", re.IGNORECASE
)
# When something was deprecated no fact says, and its introduction is no answer.
_DEPRECATED = re.compile(r"\b(?:was|were|is|are|got|been) (?:\S+ )?deprecated\b", re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:except|apart from|other than|but not|and not|excluding|outside|unless|directly or not|"
    r"(?:more|less|fewer) than \d+|"
    r"only (?:in|from|the|by)|"
    rf"(?:before|until|since|after) v?\d+\.[\d.]+|{time_windows.UNREAD})\b"
    r"(?: [\w./-]+){0,3}|"
    r"\b(?:public|private|protected|static|abstract|exported) (?:\w+ )?"
    r"(?:methods?|members?|functions?|fields?|properties|attributes|constants?|classes|types|ones|api)\b|"
    r"\b(?:no|without) (?:tests?|specs?)\b|\b(?:tests?|specs?) (?:aside|apart|left out)\b|"
    r"\b(?:in|from) [\w./-]+ only\b|\b(?:lib|src|library|production) (?:code )?only\b",
    re.IGNORECASE,
)
# Beside a language or runtime: of packages alone its version is said, too.
_PACKAGES = re.compile(
    r"\b(?:dependenc(?:y|ies)|deps|gems|crates|packages|modules|libraries|libs|jars|pods|"
    r"(?:what|which|any|other|another|further) (?:[\w-]+ ){0,2}(?:gem|crate|package|module|library|lib|jar|pod))\b",
    re.IGNORECASE,
)
_WITHOUT_NAME = frozenset(
    {"overview", "licence", "running", "testing", "dead", "requirements", "configuration", "active", "next"}
)
# Of these the subject is the question itself, or a name.
_FREE = frozenset({"overview", "licence", "running", "testing", "dead"})
# Where a clause begins that says more about what is asked; the question before it may be understood alone.
_CLAUSE = re.compile(
    r",? (?:that|which|whose|where|when|so that|to ensure|in order to|"
    r"and (?:in |by |from )?(?:what|how|why|where|when|which|whom|who)|or (?:can|should|is|do|does)|"
    r"for (?:performing|handling|the)|during|if|as|while|within|before|after|because|given|based on)\b",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(r"(?<=\w)<[\w, .?]{1,80}>")
# "functions/methods".
_EITHER = re.compile(
    r"\b(functions?|methods?|class(?:es)?|modules?|files?|types?)/[a-z]+(?= )", re.IGNORECASE
)


# "the field size of Box", "Box's size property": Box.size.
_MEMBERS = r"(?:field|property|attribute|member|instance variable|ivar)"
_MEMBER_OF = re.compile(
    rf"(?:\bthe )?(?<!which )(?<!what )\b{_MEMBERS} [`'\"]?[@$#]?(\w+)[`'\"]? "
    r"(?:of|in|on) (?:the )?(?:class |struct |type )?[`'\"]?([A-Z]\w+)[`'\"]?(?![\w./:-]*\w)"
)
_MEMBER = re.compile(rf"\b([A-Z]\w+)['\u2019]s [`'\"]?[@$#]?(\w+)[`'\"]? {_MEMBERS}\b")


class ParsedQuestion(NamedTuple):
    """The kind of a question (or `search`), its subject, and the second subject of kinds that have two.

    `clause` is the beginning of the question that was understood, if the rest was not; `learned` says that no pattern
    has the question, and its kind is the likeliest by its words.
    """

    kind: str
    subject: str
    other: str = ""
    clause: str = ""
    learned: bool = False
    # The kind that it may be of instead, if its own is not sure.
    rival: str = ""
    # Where the subject is, if the question says it.
    place: str = ""
    # What the question says and no answer takes into account: "except in tests", "before the rewrite".
    condition: str = ""
    # The time that the question says, of kinds whose answers are of a time: "since january 2025".
    window: str = ""
    # The file or folder in which it is to be looked for, of kinds whose answers are limited to one.
    within: str = ""


class Read(NamedTuple):
    """A question as it was read, with its names, and the kinds that it may be of, the likeliest first."""

    understood: ParsedQuestion
    names: Names
    readings: Sequence[Reading]
    # The second question, if it is two: "where is X defined and who calls it".
    further: ParsedQuestion | None = None


def parse(question: str, repository: str = "", exist: Exist | None = None) -> ParsedQuestion:
    """Return the kind of a question on a repository, and its subject."""
    return read(question, repository, exist).understood


def read(question: str, repository: str = "", exist: Exist | None = None) -> Read:
    """Read a question on a repository.

    A question that matches no pattern is of the kind that labelled wordings make likely, else understood by its main
    clause, if that matches a pattern, else it is of kind `search`, its subject its words. `exist` looks
    up which words name something in the repository.
    """
    written = " ".join(storable_text(question).strip().rstrip("?!. ").split())[:MAX_LENGTH]
    # A name with parameters is one word.
    written = _PARAMETERS.sub(lambda match: match[0].replace(" ", ""), written)
    normalized = CONTRACTED.sub(lambda match: f"{match[1]} {CONTRACTIONS[match[2].lower()]} ", written)
    name = rf"{re.escape(repository)}(?:'s)?" if repository else r"(?!)"
    place = rf" (?:with)?in (?:the |this |our )?(?:(?:{name} )?{_CODEBASE}|{name})(?= |$)"
    normalized = _MEMBER_OF.sub(r"\2.\1", _MEMBER.sub(r"\1.\2", normalized))
    plain = _EITHER.sub(r"\1", re.sub(place, "", normalized, flags=re.IGNORECASE))
    exist = _remembering(exist) if exist else None
    if remark := REMARK.search(plain):
        # What it names is not what is asked about.
        main = _read(written, REMARK.sub("", plain), repository, exist)
        if main.understood.kind != "search":
            condition = main.understood.condition or remark[0].strip()
            return main._replace(understood=main.understood._replace(condition=condition))
    whole = _read(written, plain, repository, exist)
    parts = [_read(written, half, repository, exist) for half in halves(plain, whole.names)]
    if parts and all(map(_is_sure, parts)) and len({part.understood.kind for part in parts}) > 1:
        return parts[0]._replace(further=parts[1].understood)
    asked = ""
    if whole.understood.learned or whole.understood.kind == "search":
        asked = resolved(plain, whole.names)
    if asked:
        main = _read(written, asked, repository, exist)
        surer = not main.understood.learned or main.readings[0].probability >= whole.readings[0].probability
        if main.understood.kind != "search" and (surer or whole.understood.kind == "search"):
            return main
    return whole


def _remembering(exist: Exist) -> Exist:
    """Return a look-up that asks for each word once: the parts of a question have the words of the whole."""
    known: dict[str, Collection[str]] = {}
    asked: set[str] = set()

    def look_up(words: Collection[str]) -> Mapping[str, Collection[str]]:
        if missing := set(words) - asked:
            known.update(exist(missing))
            asked.update(missing)
        return {word: known[word] for word in words if word in known}

    return look_up


def _is_sure(asked: Read) -> bool:
    """Return whether a part of a question is understood, and hardly means something else."""
    learned = asked.understood.learned
    return asked.understood.kind != "search" and (not learned or asked.readings[0].probability > SURE)


def _read(written: str, plain: str, repository: str, exist: Exist | None) -> Read:
    """Read a question as it was written, without what adds nothing."""
    names, readings = learned_wordings.read(plain, exist, repository)
    return Read(_parsed(written, plain, names, readings, exist, repository), names, readings)


def _parsed(
    written: str,
    plain: str,
    names: Names,
    readings: Sequence[Reading],
    exist: Exist | None,
    repository: str,
) -> ParsedQuestion:
    """Return the kind and the subject of a question, as it was written and without what adds nothing."""
    understood = _understood(plain)
    if understood and not _is_unlikely(understood, names, readings, exist):
        return _conditioned(_required(understood, plain, repository), plain)
    learned = _learned(plain, names, readings)
    learned = _required(learned, plain, repository) if learned else None
    opposite = learned and learned.kind in _POSITIVE and _NEGATED.search(plain)
    if learned and not opposite and not (learned.kind == "introduced" and _DEPRECATED.search(plain)):
        return _conditioned(learned, plain)
    if readings[0].kind == "search" and readings[0].probability > SURE:
        return ParsedQuestion("search", written)
    for clause in islice(_CLAUSE.finditer(plain), MAX_CLAUSES):
        main = plain[: clause.start()]
        understood = _understood(main)
        # "the class that ..." describes a class, it names none.
        described = clause[0].strip(" ,").lower() in ("that", "which", "whose", "where")
        if understood and (not described or _NAME_OF_CODE.search(understood.subject)):
            return understood._replace(clause=main)
    return ParsedQuestion("search", written)


def _required(understood: ParsedQuestion, question: str, repository: str) -> ParsedQuestion:
    """Return a question on what the project itself needs without a subject: packages, and versions of languages."""
    subject = understood.subject
    if understood.kind == "requirements" and (
        subject.lower() == repository.lower() or (runtime_of(subject) and _PACKAGES.search(question))
    ):
        return understood._replace(subject="")
    return understood


def _conditioned(understood: ParsedQuestion, question: str) -> ParsedQuestion:
    """Return what was understood of a question with the time that it says, and what is not taken into account."""
    if understood.kind == "between":
        return understood
    window = time_windows.said(question)
    if window and is_of_time(understood):
        understood, window, question = understood._replace(window=window), "", question.replace(window, "")
    condition = _CONDITION.search(question)
    return understood._replace(condition=window or (condition[0] if condition else ""))


def is_of_time(understood: ParsedQuestion) -> bool:
    """Return whether the answer may be of the time that a question says: who committed, and how often."""
    return understood.kind == "active" or (
        understood.kind == "overview" and understood.subject in ("authors", "commits")
    )


def _understood(question: str) -> ParsedQuestion | None:
    """Return the kind of a question by the patterns, None if it is of none."""
    return next((found for wording in _wordings(question) if (found := _match(wording))), None)


def _is_unlikely(
    understood: ParsedQuestion, names: Names, readings: Sequence[Reading], exist: Exist | None
) -> bool:
    """Return whether a pattern has a question that is surely of another kind, or took a usual word for a name."""
    subject = understood.subject
    if understood.kind == "requirements" and runtime_of(subject):
        # Whether a version will do is answered by the one that is needed.
        return readings[0].kind not in ("search", "requirements") and readings[0].probability > SURE
    if understood.kind == "subclasses" and readings[0].kind == "dependents":
        return False  # "Includes" is said of files and of types, and the pattern knows a type by its capital.
    if understood.kind == "active" and time_windows.said(f"in {subject}"):
        return True  # "Who was active in 2024?"
    if subject in ("", *names.names) or understood.kind in {"between", "placement", *_FREE}:
        probability = dict(readings).get(understood.kind, 0)
        return readings[0].probability > SURE and probability < 1 - SURE
    usual = understood.kind not in _FREE and subject in learned_wordings.load().common
    return usual and exist is not None and not exist([subject])


def _learned(question: str, names: Names, readings: Sequence[Reading]) -> ParsedQuestion | None:
    """Return the kind of a question that is likely by its words, None if none is, or it lacks the names it needs."""
    (kind, probability), (rival, _) = readings[:2]
    several = sum(map(is_version, names.names)) > 1
    if several and kind != "between" and probability <= SURE:
        # What is asked of two revisions is hardly anything else.
        kind, probability, rival = "between", MIN_PROBABILITY, kind
    named = bool(names.names) and kind not in _WITHOUT_NAME
    least = SURE if names.by_chance else MIN_PROBABILITY if named else MIN_WITHOUT_NAME
    if probability < least or kind == "search":
        return None
    # Then the question describes something, with a word that happens to be a name.
    if names.by_chance and len(learned_wordings.unfamiliar(names.words)) > 1:
        return None
    # "Did X change from 1.0 to 1.1?"
    if kind in ("history", "active") and several:
        kind = "between"
    # What was removed is not known any more, its type or folder may be: "the warm method on Oven is gone".
    about = [*names.unknown, *names.names] if kind == "removed" else names.names
    found = subjects(kind, question, about, names.place)
    if not found:
        return None
    doubt = rival if probability < CERTAIN else ""
    return ParsedQuestion(kind, *found, learned=True, rival=doubt, place=names.place)


def _wordings(question: str) -> Iterator[str]:
    """Yield a question as it stands, then in plainer wordings."""
    yield question
    plain = LEADS.sub("", FILLERS.sub("", question)).strip()
    if plain != question:
        yield plain
    if (direct := INDIRECT.sub(r"\1 \3 \2 \4", plain)) != plain:
        yield direct
    if (phrase := ASKS_FOR.sub("", plain)) != plain:
        yield phrase
    reworded = plain
    for pattern, form in REWORDED:
        if (other := pattern.sub(form, reworded)) != reworded:
            reworded = other
            yield reworded


def _match(question: str) -> ParsedQuestion | None:
    """Return the first kind of which a pattern matches the complete question; a subject that is no name is none."""
    for kind, patterns in PATTERNS.items():
        for pattern in map(_compiled, patterns):
            match = pattern.fullmatch(question)
            if not match:
                continue
            groups = {re.sub(r"\d", "", name): value for name, value in match.groupdict().items() if value}
            if kind == "between":
                revisions = f"{groups.get('first', '')}..{groups.get('last', '')}"
                return ParsedQuestion(kind, revisions, subject_of(groups.get("other", "")))
            subject, other = subject_of(groups.get("subject", "")), subject_of(groups.get("other", ""))
            if "owner" in groups:
                subject = f"{subject_of(groups['owner'])}.{subject}"
            named = is_name(groups.get("subject", "")) or (
                kind in _WITHOUT_NAME and (not subject or kind in _FREE)
            )
            if named and ("other" not in pattern.groupindex or is_name(groups.get("other", ""))):
                return ParsedQuestion(kind, subject, other)
    return None


@cache
def _compiled(pattern: str) -> "re.Pattern[str]":
    """Return a pattern when it is tried first: to compile all of them takes longer than to answer a question."""
    return re.compile(pattern, re.IGNORECASE)


def is_name(phrase: str) -> bool:
    """Return whether a phrase names something: one word, that is not just any of a kind ("a cache", "tests")."""
    subject = subject_of(phrase)
    if not _NAME.match(subject) or subject == "I":
        return False
    return bool(_NAME_OF_CODE.search(subject)) or not (_ANY.match(phrase) or _OF_MANY.match(subject))


def subject_of(phrase: str) -> str:
    """Return the name in a phrase: without quotes, articles, its kind (function, class, ...) and parentheses.

    A phrase of more words than these is returned as it is, and is no name.
    """
    # Of "an error class" the first word says what is meant.
    plain = _NOISE.sub("", _TRAILING.sub("", phrase.strip()))
    quoted = re.fullmatch(r"[`'\"]([^`'\"]+)[`'\"]", plain)
    return (quoted[1] if quoted else plain).strip().removesuffix("()").rstrip(":")
