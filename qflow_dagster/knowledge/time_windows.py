"""The time that a question is about: "since january 2025", "in 2024", "in the last six months".

Belongs here: how people say times, and the days that they mean. Does not belong here: releases (`revisions`), which
answers have a time (`questions`), looking commits up (`history_lookups`).
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_NUMBERS = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "couple of": 2, "half a": 0.5, "half": 0.5},
}
_DAYS = {"day": 1, "week": 7}
_IN_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
# The last alternative is a month with its year, or that before the newest commit.
_DATE = (
    r"(?:(?:19|20)\d\d-\d\d(?:-\d\d)?|(?:19|20)\d\d|q[1-4](?: of)?,? (?:19|20)\d\d|"
    rf"(?:{_DAY} (?:of )?)?{_MONTH}(?: {_DAY}(?!\d))?(?:,? (?:of )?(?:19|20)\d\d)?)(?![-./]?\w)"
)
_UNIT = r"(?:week|month|quarter|year)(?![-./]?\w)"
_THE = r"(?:(?:the )?(?:year|month)(?: of)? )?"
_START = r"(?:the )?(?:start|beginning) of "
_COUNT = rf"(?:\d{{1,3}}|{'|'.join(_NUMBERS)})"
_SAID = re.compile(
    rf"\b(?:between|from) {_THE}(?P<first>{_DATE}) (?:and|to|until|till|through) {_THE}(?P<last>{_DATE})|"
    rf"\b(?P<how>(?:since|from)(?: {_START.rstrip()})?|after|before|until|till|in|during|throughout) "
    rf"{_THE}(?P<date>{_DATE})|"
    rf"\b(?:last|past|previous) (?P<count>{_COUNT}) (?P<units>day|week|month|quarter|year)s?\b|"
    rf"(?<!before )(?<!after )(?<!until )(?<!till )(?<!before the )(?<!after the )(?<!until the )(?<!till the )"
    rf"\b(?P<since>since )?(?:{_START})?(?P<rolling>the |a )?(?P<which>last|past|previous|this) "
    rf"(?P<unit>{_UNIT})",
    re.IGNORECASE,
)
# Times that are said by what happened, or by what has no fixed days.
UNREAD = (
    r"(?:since|before|after|until|till|during) (?:the |our |its |their )?(?:(?:last|latest|first|next|previous|new|big|"
    r"this|early|late|mid|end of|start of) ){0,2}(?:release|version|rewrite|refactor\w{0,6}|migration|merge|fork|"
    r"switch|launch|yesterday|today|monday|tuesday|wednesday|thursday|friday|saturday|sunday|weekend|"
    r"spring|summer|autumn|fall|winter|"
    rf"christmas|easter|pandemic|covid|sprint|week|month|quarter|year|(?:19|20)\d\d|{_MONTH})(?![-./]?\w)|"
    r"(?:last|past|previous|recent) (?:few|several|many) (?:days|weeks|months|quarters|years)|"
    r"\w{1,12} (?:day|week|month|quarter|year)s? ago"
)


class Window(NamedTuple):
    """The first and the last day of a time; None where it has no end."""

    first: date | None
    last: date | None

    def __str__(self) -> str:
        """Return the time as text, with its days."""
        if self.first and self.last:
            return f"from {self.first} to {self.last}"
        return f"since {self.first}" if self.first else f"until {self.last}"


def said(question: str) -> str:
    """Return the words of a question that say its time; '' if none do that are understood."""
    match = _SAID.search(question)
    return match[0] if match else ""


def read(words: str, newest: date) -> Window | None:
    """Return the time that words mean, before the day of the newest commit; None if they mean none."""
    match = _SAID.search(words)
    try:
        return _window(match, newest) if match else None
    except ValueError:
        # A day that no month has.
        return None


def _window(match: "re.Match[str]", newest: date) -> Window:
    if match["first"]:
        return Window(_days(match["first"], newest)[0], _days(match["last"], newest)[1])
    if match["date"]:
        first, last = _days(match["date"], newest)
        return _BY_WORD.get(match["how"].lower().split()[0], Window)(first, last)
    if match["count"]:
        words = match["count"].lower()
        number = _NUMBERS.get(words) or int(words)
        return Window(_before(newest, number, match["units"].lower()), newest)
    unit, which = match["unit"].lower(), match["which"].lower()
    if match["rolling"] or which == "past":
        return Window(_before(newest, 1, unit), newest)
    start = _start(newest, unit)
    if which == "this":
        return Window(start, newest)
    first = _start(start - timedelta(days=1), unit)
    return Window(first, newest if match["since"] else start - timedelta(days=1))


_BY_WORD: dict[str, Callable[[date, date], Window]] = {
    "since": lambda first, last: Window(first, None),
    "from": lambda first, last: Window(first, None),
    "after": lambda first, last: Window(last + timedelta(days=1), None),
    "before": lambda first, last: Window(None, first - timedelta(days=1)),
    "until": lambda first, last: Window(None, last),
    "till": lambda first, last: Window(None, last),
}


def _days(words: str, newest: date) -> tuple[date, date]:
    """Return the first and the last day of what is written as a date: a day, a month, a quarter or a year."""
    lower = words.lower()
    if month := re.search(_MONTH, lower):
        number = _MONTHS.index(month[0][:3]) + 1
        year = re.search(r"(?:19|20)\d\d", lower)
        # Without a year, the last one that has had the month.
        of = int(year[0]) if year else newest.year - (number > newest.month)
        day = re.search(r"(?<!\d)\d{1,2}(?!\d)", lower)
        return _between(of, number, int(day[0]) if day else 0)
    if lower.startswith("q"):
        first = date(int(lower[-4:]), 3 * int(lower[1]) - 2, 1)
        return first, _after(first, 3)
    return _between(*map(int, lower.split("-")))


def _between(year: int, month: int = 0, day: int = 0) -> tuple[date, date]:
    first = date(year, month or 1, day or 1)
    return first, first if day else _after(first, 1 if month else 12)


def _after(first: date, months: int) -> date:
    """Return the last day of some months that begin with a day."""
    later = first.year * 12 + first.month - 1 + months
    return date(later // 12, later % 12 + 1, 1) - timedelta(days=1)


def _before(day: date, number: float, unit: str) -> date:
    """Return the day that is a number of units before another one."""
    if unit in _DAYS:
        return day - timedelta(days=round(number * _DAYS[unit]))
    earlier = day.year * 12 + day.month - 1 - round(number * _IN_MONTHS[unit])
    start = date(earlier // 12, earlier % 12 + 1, 1)
    return start.replace(day=min(day.day, _after(start, 1).day))


def _start(day: date, unit: str) -> date:
    """Return the first day of the unit that a day is in."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _IN_MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)
