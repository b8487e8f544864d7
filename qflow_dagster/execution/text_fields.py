"""The fields that a request states besides its wish: acceptance criteria, dependencies, owner, dates and so on.

Belongs here: reading a text, deterministically and without a database. Does not belong here: what kind of work it is,
and which items it means (`classifier`).
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

_PRIORITY_WORDS = "critical|urgent|highest|high|medium|normal|low|lowest|p0|p1|p2|p3|p4"
# Longer lines and sentences are data, not prose.
MAX_SENTENCE = 1_000
MAX_CRITERIA = 30
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
# What somebody else wrote, in a mail that is answered.
_QUOTED = re.compile(r"^ {0,3}>")
_TYPOGRAPHIC = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_BULLET = re.compile(r"^ {0,8}(?:[-*\u2022]|\d{1,3}[.)])? ?(\[[ xX]?\] )|^ {0,8}(?:[-*\u2022] |\d{1,3}[.)] )")
_CHECKBOX = re.compile(r"^ {0,8}(?:[-*\u2022] |\d{1,3}[.)] )?\[[ xX]?\] ")
_CRITERIA_HEADING = re.compile(
    r"^[#*\s]{0,8}(?:acceptance(?: criteria)?|ac|definition of done|(?:done|finished) when|success criteria)\b"
    r"[^\n]{0,40}$",
    re.I,
)
_HEADING = re.compile(r"^(?:#{1,6} |\*\*)[^\n]{1,80}$|^[A-Z][\w '-]{1,40}:$")
_NO_CRITERIA = re.compile(
    r"steps|repro|expected|actual|notes?\b|version|environment|out of scope|background|context|links|logs|describe",
    re.I,
)
_INLINE_CRITERION = re.compile(
    r"\b(?:it is )?(?:done|finished|complete[d]?|accepted) (?:when|if|once)\s+(?=\w)", re.I
)
_CRITERIA_LINE = re.compile(
    r"\b(?:acceptance(?: criteria)?|ac|requirements|must[- ]haves?|definition of done)\s?:\s?(?=\S)", re.I
)
_GHERKIN = re.compile(r"^\s{0,8}given\b", re.I)
_GHERKIN_LINE = re.compile(r"^given\b[^\n]{3,300}\bwhen\b[^\n]{3,300}\bthen\b", re.I)
_TRACE = re.compile(
    r"^(?:Traceback \(most recent|\s+File \"|\s+at [\w.$<>]+\(|[A-Z]\w{2,60}(?:Error|Exception): )"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'@])")

_REFERENCE = r"#\d{1,9}"
# What follows is what the item waits for; sure of it.
_WAITS = re.compile(
    r"\b(?:depends? on|depending on|blocked by|(?:is |are )?waiting for|prerequisites?:|"
    r"can(?:not| only)?(?:'t)? (?:be )?"
    r"(?:start(?:ed)?|begin|happen|continue|proceed|land|ship(?:ped)?|merged?|go on)? ?"
    r"(?:until|after)|only (?:start )?after|(?:^|[.;,] )not (?:before|until)(?! \w+ ?\d)|"
    r"requires?)\s+",
    re.I,
)
# "First A, then this", "A first, only then B".
_FIRST_THEN = re.compile(
    r"(?:^|[:,;] ?|\. )(?:first,? (?P<after>[^,;.\n]{3,80})|"
    r"(?P<before>[^,:;.\n]{3,80}?) (?:has to (?:be|come) )?first),? "
    r"(?:and )?(?:only )?then\b",
    re.I,
)
_STARTS = r"(?:land|ship|start|begin|continue|proceed|come|follow|waits?|hold|done|released|planned|merged)"
_NEEDS = re.compile(
    rf"\b(?:needs?|once|{_STARTS}\b[^.;\n]{{0,40}}?\b(?:after|until|while|before|for))\s+(?:after\s)?", re.I
)
# What an item itself is in need of: "needs to land before May", "needs testing first".
_OF_ITSELF = re.compile(r"(?:to|be|being)\b|\w+ing$", re.I)
_FIRST = re.compile(r"\s(?:first|before|beforehand|up front)\b", re.I)
_AFTER_REFERENCE = re.compile(rf"\b(?:after|once|needs|when)\s+({_REFERENCE})\b", re.I)
_STATE = re.compile(
    r"\s(?:(?:is|are|has been|have been|was|gets?|isn't|is not)\s"
    r"(?:done|there|ready|finished|merged|closed|complete|live|out)"
    r"|exists?|lands?|ships?|arrives?)\b",
    re.I,
)
_PHRASE_END = re.compile(r"[.;\n]|,| and is | but |\s-\s| because |\(")
_DURATION = re.compile(
    r"(?:an? |one |two |three |\d{1,3} |some )?(?:more )?(?:hour|day|week|month|sprint|time)", re.I
)
_NEGATION = re.compile(r"(?:\b(?:not|never|no longer)|n't)\s+(?:\w+\s+)?$", re.I)
_NOTHING = re.compile(r"^(?:nothing|no one|none|nobody)\b", re.I)

_NAME = r"@?(?!(?:the|an?|our|my|me|us|it|somebody|someone|nobody|whom?|by)\b)([A-Za-z][\w.-]{0,38}\w)"
_OWNER = (
    re.compile(rf"\b(?:(?:owner|assignee|responsible)\s?[:=]|assigned to|owned by)\s*{_NAME}", re.I),
    re.compile(rf"\b(?:owner|assignee|responsible)(?: is)?\s+{_NAME}(?=\s*(?:[,.;)]|$))", re.I),
    re.compile(r"\b(?:todo|fixme)\(([A-Za-z][\w.-]{0,38}\w)\)", re.I),
    re.compile(r"(?:^|[.,;:]\s)([A-Z][\w.-]{0,38}\w) (?:takes|picks|will take|will pick) (?:it|this|that)\b"),
    re.compile(rf"\bassign(?: (?:it|this|the [\w ]{{1,60}}))? to\s+{_NAME}", re.I),
    re.compile(rf"\b(?:give|hand) (?:it|this) to\s+{_NAME}", re.I),
    re.compile(rf"\b(?:belongs?|goes|go|moves?|passed|handed|given|over) to\s+{_NAME}(?=\s*(?:[,.;)]|$))"),
    # A part of a list of fields, or a command of a tracker.
    re.compile(r"(?:^|[,;(] ?)(?:for |to )?@([A-Za-z][\w.-]{0,38}\w)(?=\s*(?:[,;.)#]|$))"),
    re.compile(r"^/assign @?([A-Za-z][\w.-]{0,38}\w)", re.I),
    re.compile(
        r"(?:^|\s)@([A-Za-z][\w.-]{0,38}\w)\s+(?:please|takes?|will|can you|could you|owns?|to take|handles?)\b",
        re.I,
    ),
)
_ASSIGN_REST = re.compile(rf"\bto\s+(?:@([A-Za-z][\w.-]{{0,38}}\w)|{_NAME}\W{{0,3}}$)")
_ASSIGN = re.compile(r"^\W{0,3}(?:please )?(?:re)?assign(?:ing|ed)?\b", re.I)
_POINTS = (
    re.compile(
        r"\b(\d{1,3}) (?:instead of|rather than|and not|not) \d{1,3} ?(?:story ?points?|points?|pts?|sp)\b",
        re.I,
    ),
    re.compile(r"\bfrom \d{1,3} (?:\w+ )?to (\d{1,3}) ?(?:story ?points?|points?|pts?|sp)\b", re.I),
    re.compile(r"\b(\d{1,3}) ?(?:story ?points?|points?|pts?|sp)\b", re.I),
    re.compile(
        r"\b(?:story ?points?|points?|estimate|estimated at|sp)\s?[:=]?\s(\d{1,3})\b(?! ?(?:days|weeks|hours|%))",
        re.I,
    ),
)
_PRIORITY = (
    re.compile(rf"\bprio(?:rity)?\b[^.\n]{{0,80}}?\b(?:to|as|is) ({_PRIORITY_WORDS})\b", re.I),
    re.compile(rf"\bprio(?:rity)?\b[^.\n]{{0,80}}?\b({_PRIORITY_WORDS})\b", re.I),
    re.compile(rf"\b({_PRIORITY_WORDS}) prio(?:rity)?\b", re.I),
    re.compile(r"^\W{0,3}(p[0-4]|urgent|critical)\b\s?[:!\]-]", re.I),
    re.compile(
        rf"\b(?:bump|rais|lower|mak)\w*\s(?:it|this|that)\s(?:up |down )?(?:to )?({_PRIORITY_WORDS})\b", re.I
    ),
    re.compile(r"\b(?:bump|rais|lower|downgrad|upgrad|set|chang|mov)\w*\b[^.\n]{0,80}?\bto (p[0-4])\b", re.I),
    re.compile(r"(?:^|[,;(.] ?)(p[0-4])(?=\s?(?:[,;)]|$|\.\s))", re.I | re.M),
    re.compile(rf"\b({_PRIORITY_WORDS}) is (?:fine|enough|ok|okay)\b", re.I),
)
_LABELS = re.compile(
    r"(?:^|[^\w\s]\s*|\b(?:add|and|with|set)\s+)(?:labels?|tags?)\s?:\s?([\w-]{1,40}(?:\s?,\s?[\w-]{1,40}){0,20})",
    re.I | re.M,
)
_LABEL = re.compile(
    r"(?:^/|\b(?:add|with|set|give \w+|needs|gets) (?:the |a )?)(?:labels?|tags?) ['\"~`]?([\w-]{1,40})",
    re.I | re.M,
)
_HASHTAG = re.compile(r"(?:^|\s)#([A-Za-z][\w-]{0,39})\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]{{0,6}}"
_ISO = re.compile(r"\b(20\d\d)[-/](\d\d)[-/](\d\d)\b")
_POINTED = re.compile(r"\b(\d{1,2})\.(\d{1,2})\.(20\d\d)\b")
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th|\.)? {_MONTH}(?:,? (20\d\d))?\b", re.I)
_MONTH_DAY = re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (20\d\d))?", re.I)
_DUE = re.compile(
    r"\b(?:due|deadline|by|until|before|no later than|expires?|target (?:date|day)|target(?= is\b|:))\b", re.I
)
_DUE_DAY = re.compile(
    rf"(?:,|\b(?:due|deadline|by|until|before)\b)(?: date)?(?: is)?:?\s+(?:on |end of )?"
    rf"(today|tomorrow|(?:next |this )?(?:{'|'.join(_WEEKDAYS)}))\b",
    re.I,
)


_END_OF = re.compile(
    rf"\b(?:due|deadline|by|before)\b[^.\n]{{0,20}}?\b(?:(?:the )?end of (?:the |this )?|eo)"
    rf"(week|w\b|month|m\b|year|{_MONTH})",
    re.I,
)
_WITHIN = re.compile(
    r"\b(?:due|deadline|within)\b[: ]{1,2}(?:is |in )?(\d{1,2}|an?|one|two|three|four) (day|week)s?\b", re.I
)
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}


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
    """Return the lines of a text without code blocks, stack traces, quoted lines and comments; quotes are plain."""
    lines, fenced = [], False
    for line in _without_comments(text).translate(_TYPOGRAPHIC).splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not (fenced or _TRACE.match(line) or _QUOTED.match(line) or len(line) > MAX_SENTENCE):
            lines.append(line.rstrip())
    return lines


def _without_comments(text: str) -> str:
    first, *others = text.split("<!--")
    parts = [part.partition("-->") for part in others]
    return first + "".join(rest if closed else f"<!--{inner}" for inner, closed, rest in parts)


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
    labels += [] if labels else _LABEL.findall(prose)
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
    for sentence in sentences(lines):
        if found := _CRITERIA_LINE.search(sentence):
            criteria += re.split(r"\s?[;,]\s?(?:and )?", sentence[found.end() :].rstrip(". "))
        elif found := _INLINE_CRITERION.search(sentence):
            criteria.append(sentence[found.end() :].rstrip(". "))
    return criteria[:MAX_CRITERIA]


def _scenarios(lines: list[str]) -> list[str]:
    """Return the scenarios of Gherkin: Given, When, Then."""
    found: list[list[str]] = []
    for line in lines:
        if _GHERKIN.match(line):
            found.append([])
        if found and line.strip():
            found[-1].append(line.strip())
    if lines_with_all := [line.strip() for line in lines if _GHERKIN_LINE.match(line.strip())]:
        return lines_with_all
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
            if _negated(sentence, found.start()):
                continue
            if (phrase := _phrase(sentence[found.end() :])) is not None:
                waits.append(phrase)
        if found := _FIRST_THEN.search(sentence):
            only = "only then" in found[0].lower()
            (waits if only else may_wait).append((found["after"] or found["before"]).strip(" \"'`"))
        waits += [match[1] for match in _AFTER_REFERENCE.finditer(sentence) if not sure]
        if sure:
            continue
        for found in _NEEDS.finditer(sentence):
            rest = sentence[found.end() :]
            phrase = _phrase(rest)
            # What people need is a wish, not an item.
            wish = re.search(r"\b(?:i|we|you|they|who|customers|users)\s+$", sentence[: found.start()], re.I)
            if phrase is None or phrase.startswith("#") or wish or _OF_ITSELF.match(phrase):
                continue
            negated, cue = _negated(sentence, found.start()), found[0].split()[-1].lower()
            # "Not before" is after, and "not until" is until.
            if cue != "until" and negated != (cue in ("before", "while")):
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
            return found[1] or found[2]
    return None


def _due(lines: list[str], today: date) -> date | None:
    for sentence in sentences(lines):
        if day := _DUE_DAY.search(sentence):
            return _named_day(day[1].lower(), today)
        if end := _END_OF.search(sentence):
            return _end_of(end[1].lower(), today)
        if within := _WITHIN.search(sentence):
            number = _NUMBERS.get(within[1].lower()) or int(within[1])
            return today + timedelta(days=number * (7 if within[2].lower() == "week" else 1))
        cue = _DUE.search(sentence)
        if cue is None:
            continue
        rest = sentence[cue.start() :]
        for pattern, order in (
            (_ISO, (1, 2, 3)),
            (_POINTED, (3, 2, 1)),
            (_DAY_MONTH, (3, 2, 1)),
            (_MONTH_DAY, (3, 1, 2)),
        ):
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


def _end_of(period: str, today: date) -> date | None:
    """Return the last day of this week (its Friday), this month or year, or of a month by name."""
    if period.startswith("w"):
        return _named_day("friday", today)
    named = {"m": today.month, "month": today.month, "year": 12}
    month = named.get(period) or _MONTHS.index(period[:3]) + 1
    year = today.year + (month < today.month)
    return date(year, month, calendar.monthrange(year, month)[1])


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
