"""Classify a request: what it wants (a new item, or something of an existing one), its level, name and fields.

Pure and deterministic; the result states its confidence and the reasons. The caller passes the items that the text
may mean. Does not belong here: the fields that a text states (`text_fields`), comparing titles (`mentions`), what is
done with the result (`work_chunks`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from qflow_dagster.execution import text_fields
from qflow_dagster.execution.action_cues import (
    ACTIONS,
    NOT,
    REQUEST,
    STATUS_QUESTION,
    TAKEN_BACK,
    WISH,
    WISHED,
    WONDERS,
    negated,
)
from qflow_dagster.execution.mentions import VAGUE, Item, Mention, mentions, stem, words
from qflow_dagster.execution.text_fields import Fields
from qflow_dagster.execution.text_language import foreign_language
from qflow_dagster.safety.display import visible_line

MAX_NAME_LENGTH = 60
# Of an id as commands show it.
MIN_ID = 8

_PREFIX = re.compile(
    r"^[^\w@]{0,6}(?:new |strategic |user )?"
    r"(theme|epic|initiative|capability|feature|feat|story|bug|defect|fix|enabler|chore|task|todo)"
    # As the types of commits: with a part in parentheses.
    r"(?: request)?\b(?:\([\w./ -]{1,30}\))?!?\W{0,3}[:\]\u2013\u2014-]",
    re.I,
)
_LEVEL_OF_PREFIX = {
    **{level: level for level in ("theme", "epic", "capability", "feature")},
    "initiative": "epic",
    # Enablers are of every level.
    "enabler": "",
}
_NO_LEVEL = re.compile(rf"{NOT}\s(?:\w+\s){{0,2}}(?:epic|feature|theme|story|capability)\b", re.I)
_USER_STORY = re.compile(r"\bas an? [^\n.]{1,60}?\bi (?:want|need|can|would like)\b", re.I)
_NUMBER = r"(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|several|many)"
_MONTHS = r"(?:[3-9]|1\d|three|four|five|six|seven|eight|nine|ten|twelve|many) months"
_LONG = (
    "half a year",
    rf"(?:a |one |about a |{_NUMBER} )quarters?(?= of work|\W|$)",
    _MONTHS,
    "(?:over|in|during) the next year",
    "end of the year",
    "programme",
    rf"{_NUMBER} teams",
    r"architect\w+ runway",
    "across (?:all )?(?:the )?teams",
)
# The first match decides: terms of SAFe, then times and sizes that people mention.
_CUES = tuple(
    (level, re.compile(pattern, re.I))
    for level, pattern in (
        ("theme", r"\b(?:vision|mission|strategic|strategy|direction|north star)\b"),
        ("theme", r"\b(?:by|until) 20[3-9]\d\b|\bwithin (?:five|ten) years\b"),
        ("epic", rf"\b(?:{'|'.join(_LONG)})\b"),
        ("epic", r"\b(?:epic|initiative|enabler)\b"),
        ("capability", r"\bcapability\b"),
        ("feature", r"\bfeature\b"),
        ("feature", r"\b(?:customers|users|people|sellers|returns|orders) can\b"),
    )
)
ENABLER = re.compile(
    r"\b(?:infrastructure|platform|technical|enabler|migrat\w+|refactor\w*|upgrade|architect\w+)\b", re.I
)
_ADDS = re.compile(r"\b(?:should|must|also|too|as well|instead|in addition|is due|takes over)\b", re.I)
# "Sync blocks search": the first item is what the second waits for.
_BLOCKS = re.compile(
    r"\b(?:blocks|is blocking|is (?:a )?prerequisite (?:for|of)|"
    r"(?:must|has to|needs to|should) (?:be (?:done|finished|ready|merged)|land|ship|come|happen) before)\b",
    re.I,
)
_NO_NAME = (
    "Please|This|That|These|It|They|He|She|We|You|I|Who|Nobody|Somebody|Someone|Everybody|The|An?|Just|Not|Now|Let|To"
)  # fmt: skip
_TAKES = re.compile(
    rf"@?(?!(?:{_NO_NAME})\b)([A-Z][\w.-]{{0,38}}\w) (?:will |is going to |is |can |wants to |should )?"
    r"(?:do|does|doing|takes?(?: over)?|taking(?: over)?|handles?|handling|owns?|leads?|leading|drives?|driving|"
    r"works? on|working on|picks? up)\b"
)
_QUOTED = re.compile(r"(['\"])([^'\"\n]{3,120})\1")
_REOPEN = re.compile(r"\bre-?open|\breactivat|\bopen (?:it|this|that) again", re.I)
_FAULTY = re.compile(
    r"\b(?:bug|crash\w*|error|fail\w*|broken|wrong|exception|hangs?|freez\w+|slow|eats|leaks?|loses?|flickers?|ignores?|"
    r"shows?|does(?:n't| not)|can(?:'t|not)|never|regression)\b",
    re.I,
)
_CODE = re.compile(r"`[^`\n]{1,200}`")
_TITLE = re.compile(
    r"\b(?:rename|retitle|reword|change the (?:title|name))\b[^\n]{0,120}? to (['\"])(?P<title>[^'\"\n]{3,60})\1",
    re.I,
)
_GREETING = re.compile(
    r"^(?:subject|from|to|cc|hi|hello|hey|dear|good morning|thanks|best|regards|cheers)\b[^\n]{0,60}$", re.I
)
_DESCRIPTION_HEADING = re.compile(r"^#{1,6} ")
_FIELD_PART = re.compile(
    r"[,;(]? ?\b(?:owner|assignee|due|deadline|labels?|tags?|priority|prio|estimate|story points?)\s?:[^\n]{0,200}$",
    re.I,
)


@dataclass(frozen=True)
class Analysis:
    """The classification of a text, its confidence (0 to 1), and the reasons."""

    level: str
    action: str
    kind: str | None
    name: str
    description: str
    acceptance: list[str]
    confidence: float
    reasons: list[str] = field(default_factory=list)
    # Items that it says it needs first, by name; and the ids of those that exist.
    depends_on: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    # Ids of the items that it is about: to update, close, merge (the first into the second), ...
    about: list[str] = field(default_factory=list)
    # What a split makes of the item.
    parts: list[str] = field(default_factory=list)
    # Owner, due date, points, priority, labels, as far as the text states them.
    stated: dict[str, Any] = field(default_factory=dict)
    # The classifier: cues, or a model.
    by: str = "cues"
    # Tokens and cost, where a model was called.
    usage: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are stored."""
        return dict(vars(self))


def classify(text: str, items: Sequence[Item] = (), *, today: date | None = None) -> Analysis:
    """Classify a text; `items` are those that it may mean, `today` is the day that "tomorrow" follows."""
    text = text.strip()
    fields = text_fields.read(text, today or date.today())
    prose = "\n".join(text_fields.prose_lines(text))
    level, sure, reasons = _level(prose, fields)
    needs, unknown = _dependencies(fields, items)
    subject = _before_dependency(prose, fields)
    if blocking := _blocking(prose, items):
        first, last = blocking
        needs, (action, about, reason, certainty) = (
            [first],
            ("update", [last], f"{first.title!r} blocks it", 0.7),
        )
    elif taking := _taking(prose, items):
        fields = replace(fields, owner=fields.owner or taking[0])
        action, about, reason, certainty = "update", [taking[1]], f"{taking[0]} does it", 0.7
    else:
        action, about, reason, certainty = _action(text, prose, subject, fields, items)
    if reason:
        reasons.append(reason)
    confidence = certainty if action != "create" else 0.7 + (0.1 if sure else 0.0)
    if action == "create":
        if fields.acceptance:
            confidence += 0.15
            reasons.append(f"{len(fields.acceptance)} acceptance criteria")
        if unknown:
            reasons.append(f"no item has the name of its dependency: {'; '.join(unknown)}")
    elif about:
        level = about[0].level
        reasons.append("; ".join(f"{action}: {item.level} {item.title!r}" for item in about))
    needs = [item for item in needs if item not in about]
    return Analysis(
        level,
        action,
        _kind(level, prose),
        _name(prose, fields) or _name(text, fields),
        text,
        fields.acceptance if action != "split" else [],
        round(min(max(confidence, 0.0), 1.0), 2),
        reasons,
        [*(item.title for item in needs), *unknown],
        [item.id for item in needs],
        [item.id for item in about],
        _parts(prose, fields) if action == "split" else [],
        {**fields.stated, **_new_title(prose)} if action == "update" else fields.stated,
    )


def _kind(level: str, prose: str) -> str | None:
    if level != "epic":
        return None
    return "enabler" if ENABLER.search(prose) else "business"


def _level(prose: str, fields: Fields) -> tuple[str, bool, list[str]]:
    """Return the level of a new item, whether a word of the text is sure of it, and the reason."""
    first = prose.lstrip().split("\n", 1)[0]
    if (prefix := _PREFIX.match(first)) and (level := _LEVEL_OF_PREFIX.get(prefix[1].lower(), "story")):
        # A commit's "feat" is of any size.
        level = "feature" if prefix[1].lower() == "feat" and len(fields.acceptance) > 1 else level
        return level, True, [f"level {level}: it begins with {prefix[1]!r}"]
    if story := _USER_STORY.search(prose):
        return "story", True, [f"level story: {story[0][:40]!r}"]
    positive = _NO_LEVEL.sub(" ", _CODE.sub(" ", prose))
    for level, pattern in _CUES:
        if found := pattern.search(positive):
            if level == "feature" and found[0].lower() != "feature" and len(fields.acceptance) < 2:
                continue
            return level, found[0].lower() == level, [f"level {level}: it contains {found[0]!r}"]
    return "story", False, ["level story: no word of a larger level"]


def _dependencies(fields: Fields, items: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Return the items that a text waits for, and names that no item has."""
    found, unknown = [], []
    for phrase in fields.waits_for:
        best = _of_id(phrase, items) or mentions(phrase, items, min_coverage=0.6)
        (found if best else unknown).append(best[0].item if best else phrase)
    for phrase in fields.may_wait_for:
        best = _of_id(phrase, items) or [
            mention for mention in mentions(phrase, items) if mention.share >= 0.7
        ]
        found += [best[0].item] if best else []
    return list(dict.fromkeys(found)), unknown


def _of_id(phrase: str, items: Sequence[Item]) -> list[Mention]:
    """Return the item that a phrase names by its id, or by the part of it that is shown."""
    written = phrase.lower()
    return [
        Mention(item, 1.0, 1.0, 0)
        for item in items
        if item.id.lower() == written or (len(written) >= MIN_ID and item.id.lower().startswith(written))
    ]


def _blocking(prose: str, items: Sequence[Item]) -> tuple[Item, Item] | None:
    """Return an item and the one that waits for it, where a text says so in this order."""
    for sentence in text_fields.sentences(prose.splitlines()):
        found = _BLOCKS.search(sentence)
        if found is None or sentence.endswith("?") or negated(sentence, found.start()):
            continue
        first, last = mentions(sentence[: found.start()], items), mentions(sentence[found.end() :], items)
        if first and last and first[0].item != last[0].item:
            return first[0].item, last[0].item
    return None


def _taking(prose: str, items: Sequence[Item]) -> tuple[str, Item] | None:
    """Return who is to do an existing item, where a text says nothing else of it."""
    for sentence in text_fields.sentences(prose.splitlines()):
        if found := _TAKES.match(sentence):
            item = mentions(sentence[found.end() :], items)
            if item and item[0].share >= 0.6 and item[0].start < 20 and not item[0].item.ended:
                return found[1], item[0].item
    return None


def _new_title(prose: str) -> dict[str, str]:
    """Return the title that an item is to get."""
    return {"title": found["title"]} if (found := _TITLE.search(prose)) else {}


def _before_dependency(prose: str, fields: Fields) -> str:
    """Return the text without the phrases that name dependencies."""
    for phrase in (*fields.waits_for, *fields.may_wait_for):
        prose = prose.replace(phrase, " ")
    return prose


def _action(
    text: str, prose: str, subject: str, fields: Fields, items: Sequence[Item]
) -> tuple[str, list[Item], str, float]:
    """Return what a text wants, the items it is about, the reason, and the confidence in that."""
    if language := foreign_language(text):
        return "question", [], f"it is written in {language}, and read by a person", 0.3
    naming = [word for word in words(text) if word not in {stem(vague) for vague in VAGUE}]
    if len(naming) < 2:
        return "question", [], "it names nothing that could be done", 0.3
    likely = mentions(subject, items, min_coverage=0.5)
    exact = [mention for mention in likely if mention.coverage >= 0.75]
    said = list(text_fields.sentences(prose.splitlines()))
    first = said[0] if said else ""
    if said and all(
        sentence.endswith("?") and STATUS_QUESTION.search(sentence) and not WISHED.search(sentence)
        for sentence in said
    ):
        about = [exact[0].item] if exact else []
        return "question", about, "it asks, and wants nothing", 0.3
    if exact and prose.rstrip().endswith("?") and STATUS_QUESTION.search(first):
        return "question", [exact[0].item], f"it asks about {exact[0].item.title!r}", 0.3
    if likely and WONDERS.search(first):
        return "question", [likely[0].item], f"it asks about {likely[0].item.title!r}", 0.3
    if exact and first.endswith("?") and _asks(first):
        return "question", [exact[0].item], f"it asks what to do with {exact[0].item.title!r}", 0.3
    if exact and re.search(r"\?\s{1,3}no\b", prose, re.I):
        return "question", [exact[0].item], "it contradicts itself", 0.3
    cues = _CODE.sub(lambda code: " " * len(code[0]), prose)
    for action, pattern in ACTIONS:
        found = pattern.search(cues)
        if found is None:
            continue
        if action == "reopen" and exact and not exact[0].item.ended and _REOPEN.search(cues):
            return "duplicate", [exact[0].item], f"{exact[0].item.title!r} is open already", 0.7
        # A word such as "again" is about an item only if the item is named.
        named = action == "update" or (action == "reopen" and not _REOPEN.search(cues))
        candidates = [m for m in (exact if named else likely) if m.item.ended == (action == "reopen")]
        if not candidates:
            continue
        if negated(cues, found.start()):
            if action == "duplicate":
                return (
                    "create",
                    [],
                    f"it says that it is another matter than {candidates[0].item.title!r}",
                    0.0,
                )
            return "question", [candidates[0].item], f"it says what is not to be done ({found[0]!r})", 0.3
        if action in ("split", "merge", "close") and TAKEN_BACK.search(cues):
            return "question", [candidates[0].item], f"it takes back what it says ({found[0]!r})", 0.3
        about = _about(action, candidates)
        if action == "update" and not _is_update(subject, found.start(), about[0], candidates[0], fields):
            continue
        if action == "merge" and len(about) < 2:
            continue
        certainty = 0.85 if candidates[0].coverage >= 0.9 else 0.7
        return action, about, f"{action}: it contains {found[0]!r}", certainty
    open_ = [mention for mention in exact if not mention.item.ended]
    ended = [mention for mention in exact if mention.item.ended and mention.coverage >= 0.9]
    if ended and not open_ and (ended[0].share >= 0.5 or _leads(prose, ended[0].item)):
        return "reopen", [ended[0].item], f"it reports what was done: {ended[0].item.title!r}", 0.7
    if open_:
        best = open_[0]
        if prose.rstrip().endswith("?") and not WISH.search(first):
            return "question", [best.item], f"it asks about {best.item.title!r}", 0.3
        others = words(subject).keys() - words(best.item.title).keys()
        says_more = _ADDS.search(cues) and not all(word.isdecimal() for word in others)
        adds = says_more or fields.stated or fields.waits_for or fields.may_wait_for
        if (
            adds
            and best.coverage >= 0.75
            and (best.start < 40 or best.share >= 0.5)
            and _title_leads(subject, best)
        ):
            return "update", [best.item], f"it adds to {best.item.title!r}", 0.75
        if best.share >= 0.6:
            return "duplicate", [best.item], f"it resembles {best.item.title!r}", 0.75
        # What begins with the whole title of an item says something of it, and a new fault is an item of its own.
        new = _PREFIX.match(first) or _FAULTY.search(cues)
        if best.coverage == 1.0 and _leads(prose, best.item) and not new:
            return "update", [best.item], f"it begins with {best.item.title!r}", 0.7
    quoted = next((m.item for m in exact if m.coverage == 1.0 and _is_quoted(prose, m.item)), None)
    if quoted is not None:
        return "question", [quoted], f"what it wants of {quoted.title!r} is not understood", 0.3
    return "create", [], "", 0.0


def _is_quoted(prose: str, item: Item) -> bool:
    """Return whether a text has the title of an item in quotation marks."""
    title = words(item.title).keys()
    return any(title == words(found[2]).keys() for found in _QUOTED.finditer(prose))


def _asks(first: str) -> bool:
    """Return whether a question leaves it to others what is done: it is no request to somebody, and no report."""
    known = next(pattern for action, pattern in ACTIONS if action == "duplicate")
    asks = re.match(r"\W{0,3}(?:can|could|should|shall|may) (?:we|i)\b", first, re.I)
    return asks is not None and not REQUEST.search(first) and not known.search(first)


def _about(action: str, candidates: Sequence[Mention]) -> list[Item]:
    if action != "merge":
        return [candidates[0].item]
    # The two best, in the order of the text.
    return [mention.item for mention in sorted(candidates[:2], key=lambda mention: mention.start)]


def _is_update(subject: str, at: int, item: Item, mention: Mention, fields: Fields) -> bool:
    """Return whether a cue such as "change" is about the item: it stands before the title, or states a field of it."""
    return at <= mention.start or bool(fields.stated)


def _title_leads(subject: str, mention: Mention) -> bool:
    """Return whether nothing but the item is named before it."""
    return len(words(subject[: mention.start])) <= 2


def _leads(prose: str, item: Item) -> bool:
    """Return whether a text begins with the title of an item."""
    beginning = words(prose[: len(item.title) + 12])
    return words(item.title).keys() <= beginning.keys() and len(words(item.title)) >= 2


def _parts(prose: str, fields: Fields) -> list[str]:
    """Return what an item is to be split into."""
    lines = [line for line in prose.splitlines() if text_fields.is_bullet(line)]
    if lines:
        return [re.sub(r"^\W+", "", line).strip() for line in lines]
    found = re.search(r"\binto:?\s(?:one (?:item )?for\s|smaller \w+ for\s)?|\bsplit:\s", prose, re.I)
    if found is None:
        return []
    parts = re.split(
        r",? and (?:one )?(?:for )?|, (?:one )?(?:for )?|; | / ", prose[found.end() :].strip().rstrip(".")
    )
    return [part.strip() for part in parts if part.strip()][:20]


def _name(prose: str, fields: Fields) -> str:
    """Return a title: the first sentence that is neither greeting nor heading, without its prefix and fields."""
    lines = [
        line
        for line in prose.splitlines()
        if line.strip() and not _GREETING.match(line.strip()) and not _DESCRIPTION_HEADING.match(line)
    ]
    plain = [line for line in lines if not text_fields.is_bullet(line)] or lines
    first = next(text_fields.sentences(plain), "")
    first = _FIELD_PART.sub("", _PREFIX.sub("", first)).strip(" :-\u2013") or first.strip()
    return visible_line(first.removesuffix(".") or first, MAX_NAME_LENGTH)
