"""Which existing work items a text mentions, by the words of their titles.

Belongs here: comparing words. Does not belong here: what the text wants of them (`classifier`).
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
# Words that name nothing.
_FUNCTION_WORDS = """
a about after again all also an and any are as at be been before but by can cannot could do does done down for from get
gets had has have he her here hi him his how i if in into is it its just like me more most must my need needs new no not
of off on once one only or our out over please she should so some than thank thanks that the their them then there
these they thing things think this those to too until up us was we were what when where which while who why will with
would yet you your d ll s t ve re m im id
"""
# Words of requests, not of what is requested.
_REQUEST_WORDS = """
add bug change close dupe duplicate epic feature fix issue item merge request story task theme ticket todo want
"""
STOP_WORDS = frozenset((_FUNCTION_WORDS + _REQUEST_WORDS).split())
# Words that a wish is made of when it names nothing.
_VAGUE_WORDS = """
anything better everything faster fine good great hello hm improve improvement make nice ok okay quality something stuff
sure test whatever work works
"""
VAGUE = frozenset(_VAGUE_WORDS.split())
_stemmer = snowballstemmer.stemmer("english")


class Item(NamedTuple):
    """An existing work item as far as a text can mention it."""

    id: str
    level: str
    title: str
    ended: bool = False


class Mention(NamedTuple):
    """An item that a text may mention.

    `coverage` is the share of the title's words that are in the text, `share` that of the text's words that are in the
    title, `start` where the first of them is.
    """

    item: Item
    coverage: float
    share: float
    start: int


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return the stem of an English word, in lower case and without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    return _stemmer.stemWord(plain)


def words(text: str) -> dict[str, int]:
    """Return the stems of the words that name something, each with its first position."""
    found: dict[str, int] = {}
    for match in _WORD.finditer(text):
        if match[0].lower() not in STOP_WORDS:
            found.setdefault(stem(match[0]), match.start())
    return found


def mentions(text: str, items: Sequence[Item], *, min_coverage: float = 0.75) -> list[Mention]:
    """Return the items that a text mentions, the best first; a title of several words needs two of them."""
    in_text = words(text)
    found = []
    for item in items:
        title = words(item.title)
        common = title.keys() & in_text.keys()
        if title and len(common) >= min(2, len(title)) and len(common) / len(title) >= min_coverage:
            start = min(in_text[word] for word in common)
            found.append(Mention(item, len(common) / len(title), len(common) / len(in_text), start))
    return sorted(
        found, key=lambda mention: (-mention.coverage, -mention.share, mention.start, mention.item.id)
    )
