"""The fields that a request states besides its wish: acceptance criteria, dependencies, owner, dates and so on.

Belongs here: reading a text, deterministically and without a database. Does not belong here: what kind of work it is,
and which items it means (`classifier`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

_PRIORITY_WORDS = "critical|urgent|highest|high|medium|normal|low|lowest|p0|p1|p2|p3|p4"
# Longer lines and sentences are data, not prose.
MAX_SENTENCE = 1_000
MAX_CRITERIA = 30
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_BULLET = re.compile(r"^ {0,8}(?:[-*\u2022]|\d{1,3}[.)])? ?(\[[ xX]?\] )|^ {0,8}(?:[-*\u2022] |\d{1,3}[.)] )")
_CHECKBOX = re.compile(r"^ {0,8}(?:[-*\u2022] |\d{1,3}[.)] )?\[[ xX]?\] ")
_CRITERIA_HEADING = re.compile(
    r"^[#*\s]{0,8}(?:acceptance(?: criteria)?|ac|definition of done|(?:done|finished) when|success criteria)\b"
    r"[^\n]{0,40}$",
    re.I,
)
_HEADING = re.compile(r"^(?:#{1,6} |\*\*)[^\n]{1,80}$|^[A-Z][\w '-]{1,40}:$")
_NO_CRITERIA = re.compile(
    r"steps|reproduce|expected|actual|notes?\b|version|environment|out of scope|background|context|links|logs|describe",
    re.I,
)
_INLINE_CRITERION = re.compile(
    r"\b(?:it is )?(?:done|finished|complete[d]?|accepted) (?:when|if|once)\s+(?=\w)", re.I
)
_GHERKIN = re.compile(r"^\s{0,8}given\b", re.I)
_TRACE = re.compile(
    r"^(?:Traceback \(most recent|\s+File \"|\s+at [\w.$<>]+\(|[A-Z]\w{2,60}(?:Error|Exception): )"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'@])")

_REFERENCE = r"#\d{1,9}"
# What follows is what the item waits for; sure of it.
_WAITS = re.compile(
    r"\b(?:depends? on|depending on|blocked by|(?:is |are )?waiting for|prerequisites?:|"
    r"can(?:not| only)?(?:'t)? (?:be )?(?:start(?:ed)?|begin|happen)? ?(?:until|after)|only (?:start )?after|"
    r"requires?)\s+",
    re.I,
)
_NEEDS = re.compile(r"\b(?:needs?|once)\s+", re.I)
_FIRST = re.compile(r"\s(?:first|before|beforehand|up front)\b", re.I)
_AFTER_REFERENCE = re.compile(rf"\b(?:after|once|needs|when)\s+({_REFERENCE})\b", re.I)
_STATE = re.compile(
    r"\s(?:is|are|has been|have been|was|gets?)\s(?:done|there|ready|finished|merged|closed|complete|live)\b",
    re.I,
)
_PHRASE_END = re.compile(r"[.;\n]|,| and is | but |\s-\s| because |\(")
_DURATION = re.compile(
    r"(?:an? |one |two |three |\d{1,3} |some )?(?:more )?(?:hour|day|week|month|sprint|time)", re.I
)
_NEGATION = re.compile(r"\b(?:not|never|no longer|doesn't|don't|must not)\s+(?:\w+\s+)?$", re.I)
_NOTHING = re.compile(r"^(?:nothing|no one|none|nobody)\b", re.I)

_NAME = r"@?([A-Za-z][\w.-]{0,38}\w)"
_OWNER = (
    re.compile(rf"\b(?:owner|assignee|assigned to|responsible)\s?:?\s+{_NAME}", re.I),
    re.compile(rf"\bassign(?: (?:it|this|the [\w ]{{1,60}}))? to\s+{_NAME}", re.I),
    re.compile(rf"\b(?:give|hand) (?:it|this) to\s+{_NAME}", re.I),
    re.compile(r"(?:^|\s)@([A-Za-z][\w.-]{0,38}\w)\s+(?:please|takes|will|can you|could you|owns)\b", re.I),
)
_ASSIGN_REST = re.compile(rf"\bto\s+{_NAME}\W{{0,3}}$")
_ASSIGN = re.compile(r"^\W{0,3}(?:please )?assign\b", re.I)
_POINTS = (
    re.compile(r"\b(\d{1,3}) ?(?:story ?points?|points?|pts?|sp)\b", re.I),
    re.compile(
        r"\b(?:story ?points?|points?|estimate|estimated at|sp)\s?[:=]?\s(\d{1,3})\b(?! ?(?:days|weeks|hours|%))",
        re.I,
    ),
)
_PRIORITY = (
    re.compile(rf"\bprio(?:rity)?\b[^.\n]{{0,80}}?\b({_PRIORITY_WORDS})\b", re.I),
    re.compile(rf"\b({_PRIORITY_WORDS}) prio(?:rity)?\b", re.I),
    re.compile(r"^\W{0,3}(p[0-4]|urgent|critical)\b\s?[:!\]-]", re.I),
)
_LABELS = re.compile(r"\b(?:labels?|tags?)\s?:\s?([\w-]{1,40}(?:\s?,\s?[\w-]{1,40}){0,20})", re.I)
_HASHTAG = re.compile(r"(?:^|\s)#([A-Za-z][\w-]{0,39})\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]{{0,6}}"
_ISO = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b")
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th|\.)? {_MONTH}(?:,? (20\d\d))?\b", re.I)
_MONTH_DAY = re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (20\d\d))?", re.I)
_DUE = re.compile(r"\b(?:due|deadline|by|until|before|no later than)\b", re.I)
_DUE_DAY = re.compile(
    rf"(?:,|\b(?:due|deadline|by|until|before)\b)(?: date)?(?: is)?:?\s+(?:on |end of )?"
    rf"(today|tomorrow|(?:next |this )?(?:{'|'.join(_WEEKDAYS)}))\b",
    re.I,
)


@dataclass(frozen=True)
class Fields:
    """What a text states; None or an empty list where it states nothing."""

    acceptance: list[str] = field(default_factory=list)
    # Phrases that name what it waits for, and phrases that do so only if an item has that name.
    waits_for: list[str] = field(default_factory=list)
    may_wait_for: list[str] = field(default_factory=list)
    owner: str | None = None
    due: date | None = None
    points: int | None = None
    priority: str | None = None
    labels: list[str] = field(default_factory=list)

    @property
    def stated(self) -> dict[str, object]:
        """Owner, due date, points, priority and labels as they are stored, without those that are not stated."""
        values = {
            "owner": self.owner,
            "due": self.due and self.due.isoformat(),
            "points": self.points,
            "priority": self.priority,
            "labels": self.labels,
        }
        return {name: value for name, value in values.items() if value not in (None, [])}


def prose_lines(text: str) -> list[str]:
    """Return the lines of a text without code blocks and stack traces."""
    lines, fenced = [], False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _TRACE.match(line) and len(line) <= MAX_SENTENCE:
            lines.append(line.rstrip())
    return lines


def is_bullet(line: str) -> bool:
    """Return whether a line is an entry of a list."""
    return _BULLET.match(line) is not None


def sentences(lines: list[str]) -> Iterator[str]:
    """Yield the sentences of prose; an entry of a list, and a line, ends one."""
    for line in lines:
        for sentence in _SENTENCE_END.split(line.strip()):
            if sentence:
                yield sentence


def read(text: str, today: date) -> Fields:
    """Return what a text states; days such as "next Friday" are counted from `today`."""
    lines = prose_lines(text)
    body = [line for line in lines if not is_bullet(line)]
    waits, may_wait = _dependencies(body)
    prose = "\n".join(lines)
    labels = [name for found in _LABELS.findall(prose) for name in re.split(r"\s?,\s?", found)]
    labels += _HASHTAG.findall(prose)
    return Fields(
        _acceptance(lines),
        waits,
        may_wait,
        _owner(body),
        _due(body, today),
        next((int(found[1]) for pattern in _POINTS if (found := pattern.search(prose))), None),
        next((found[1].lower() for pattern in _PRIORITY if (found := pattern.search(prose))), None),
        list(dict.fromkeys(labels)),
    )


def _acceptance(lines: list[str]) -> list[str]:
    headed = any(_CRITERIA_HEADING.match(line.strip()) for line in lines)
    sections = any(_HEADING.match(line.strip()) and _NO_CRITERIA.search(line) for line in lines)
    criteria: list[str] = []
    active = not headed and not sections
    for line in lines:
        stripped = line.strip()
        if _CRITERIA_HEADING.match(stripped):
            active = True
        elif not is_bullet(line) and _HEADING.match(stripped):
            active = not headed and not sections
        elif _CHECKBOX.match(line) or (active and is_bullet(line)):
            criteria.append(_BULLET.sub("", line).strip())
    if criteria:
        return criteria[:MAX_CRITERIA]
    scenarios = _scenarios(lines)
    if scenarios:
        return scenarios[:MAX_CRITERIA]
    return [
        sentence[found.end() :].rstrip(". ")
        for sentence in sentences(lines)
        if (found := _INLINE_CRITERION.search(sentence))
    ][:MAX_CRITERIA]


def _scenarios(lines: list[str]) -> list[str]:
    """Return the scenarios of Gherkin: Given, When, Then."""
    found: list[list[str]] = []
    for line in lines:
        if _GHERKIN.match(line):
            found.append([])
        if found and line.strip():
            found[-1].append(line.strip())
    return [" ".join(parts) for parts in found if any(part.lower().startswith("then") for part in parts)]


def _dependencies(lines: list[str]) -> tuple[list[str], list[str]]:
    waits, may_wait = [], []
    for sentence in sentences(lines):
        # A question states nothing.
        if sentence.endswith("?"):
            continue
        sure = [
            found for found in _WAITS.finditer(sentence) if "without" not in sentence[: found.start()][-12:]
        ]
        for found in sure:
            if found[0].lower().startswith(("require", "requires")) and _negated(sentence, found.start()):
                continue
            if (phrase := _phrase(sentence[found.end() :])) is not None:
                waits.append(phrase)
        waits += [match[1] for match in _AFTER_REFERENCE.finditer(sentence) if not sure]
        if sure:
            continue
        for found in _NEEDS.finditer(sentence):
            rest = sentence[found.end() :]
            phrase = _phrase(rest)
            # What people need is a wish, not an item.
            wish = re.search(r"\b(?:i|we|you|they|who|customers|users)\s+$", sentence[: found.start()], re.I)
            if phrase is None or phrase.startswith("#") or wish:
                continue
            first = found[0].lower().startswith("need") and _FIRST.search(rest[: len(phrase) + 12])
            (waits if first and not _DURATION.match(phrase) else may_wait).append(phrase)
    return list(dict.fromkeys(waits)), list(dict.fromkeys(may_wait))


def _phrase(rest: str) -> str | None:
    """Return the name at the beginning of a text, up to the end of its phrase."""
    if reference := re.match(_REFERENCE, rest):
        return reference[0]
    end = _PHRASE_END.search(rest)
    phrase = rest[: end.start()] if end else rest
    if state := _STATE.search(phrase):
        phrase = phrase[: state.start()]
    if first := _FIRST.search(phrase):
        phrase = phrase[: first.start()]
    phrase = phrase.strip(" \"'`.!?")
    return phrase if 3 <= len(phrase) <= 120 and not _NOTHING.match(phrase) else None


def _negated(sentence: str, at: int) -> bool:
    return _NEGATION.search(sentence[max(0, at - 40) : at]) is not None


def _owner(lines: list[str]) -> str | None:
    for sentence in sentences(lines):
        for pattern in _OWNER:
            if found := pattern.search(sentence):
                return found[1]
        if _ASSIGN.match(sentence) and (found := _ASSIGN_REST.search(sentence)):
            return found[1]
    return None


def _due(lines: list[str], today: date) -> date | None:
    for sentence in sentences(lines):
        if day := _DUE_DAY.search(sentence):
            return _named_day(day[1].lower(), today)
        cue = _DUE.search(sentence)
        if cue is None:
            continue
        rest = sentence[cue.start() :]
        for pattern, order in ((_ISO, (1, 2, 3)), (_DAY_MONTH, (3, 2, 1)), (_MONTH_DAY, (3, 1, 2))):
            if found := pattern.search(rest):
                year, month, day_of_month = (found[part] for part in order)
                number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
                return _date(year, number, int(day_of_month), today)
    return None


def _date(year: str | None, month: int, day: int, today: date) -> date | None:
    try:
        found = date(int(year) if year else today.year, month, day)
        # A day without a year is the next one.
        return found if year or found >= today else found.replace(year=today.year + 1)
    except ValueError:
        return None


def _named_day(name: str, today: date) -> date:
    if name == "today":
        return today
    if name == "tomorrow":
        return today + timedelta(days=1)
    monday = today - timedelta(days=today.weekday())
    weekday = _WEEKDAYS.index(name.split()[-1])
    if name.startswith("next "):
        return monday + timedelta(days=7 + weekday)
    ahead = (weekday - today.weekday()) % 7
    return today + timedelta(days=ahead)
