"""Names that people choose and compare by eye: of agents, rule packs, services, endpoints.

Belongs here: which characters a name may have, so that two names that look the same are the
same. Does not belong here: what a name stands for, paths and addresses (they are what they are).

A name is printable ASCII, or letters of one script none of which looks like an ASCII letter.
Sources: Unicode Technical Standard 39 (confusables, mixed scripts), by `confusable-homoglyphs`.
Names that were stored before are read as they are: only what is new is checked.
"""

import re
import unicodedata
from collections.abc import Iterator

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.display import visible_line, without_hidden

# Written together in one language; Latin stands beside them everywhere.
_TOGETHER = (
    {"CJK", "HIRAGANA", "KATAKANA", "LATIN"},
    {"CJK", "HANGUL", "LATIN"},
    {"CJK", "BOPOMOFO", "LATIN"},
)


def check_name(name: str, what: str, *, limit: int = 100) -> None:
    """Refuse what cannot be the name of `what` (``an agent``).

    Raises:
        UsageError: it is empty or too long, has characters that hide or are not letters, letters of
            several scripts or that look like others, blanks at an end or in a row, or a hyphen in front.
    """
    printable = visible_line(name, 80)
    if not 0 < len(name) <= limit:
        raise UsageError(f"{printable!r} cannot name {what}: 1 to {limit} characters are expected")
    if name.strip() != name or "  " in name:
        raise UsageError(f"{printable!r} cannot name {what}: it has blanks at an end, or several in a row")
    if name.startswith("-"):
        raise UsageError(f"{printable!r} cannot name {what}: on a command line it would be an option")
    if name.isascii() and name.isprintable():
        return
    if visible_line(name) != name or unicodedata.normalize("NFKC", name) != name:
        raise UsageError(f"{printable!r} cannot name {what}: it has characters that hide or stand for others")
    foreign = [character for character in name if not character.isascii()]
    if not all(unicodedata.category(character)[0] in "LM" for character in foreign):
        raise UsageError(f"{printable!r} cannot name {what}: beyond ASCII only letters are allowed")
    # The first word of a character's name is its script; of a mark of none it is "COMBINING".
    letters = [character for character in name if character.isalpha() or not character.isascii()]
    scripts = {re.split("[ -]", unicodedata.name(character, "?"))[0] for character in letters}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise UsageError(
            f"{printable!r} cannot name {what}: it mixes letters of {', '.join(sorted(scripts))}"
        )
    if alike := [character for character in foreign if _looks_ascii(character)]:
        raise UsageError(f"{printable!r} cannot name {what}: {alike[0]!r} looks like another letter")


def identity(name: str) -> str:
    """Return the form in which names of people are compared: those of one person are equal.

    Spellings that Unicode calls compatible (NFKC), letter case, invisible characters, and blanks at the
    ends or in a row make no other person (RFC 8265).
    """
    visible = without_hidden(unicodedata.normalize("NFKC", name))
    folded = unicodedata.normalize("NFKC", visible.casefold())
    return " ".join(folded.split())


def alike(name: str, other: str) -> bool:
    """Return whether two names are different and look the same, as with a Cyrillic letter for a Latin one."""
    one, two = identity(name), identity(other)
    # Two names in ASCII are as people chose them: bill and bi11 may be two.
    return one != two and not (one.isascii() and two.isascii()) and _appearance(one) == _appearance(two)


def _appearance(form: str) -> str:
    # Letters of ASCII too: beside a foreign letter, the l and the 1 of the other name look the same as well.
    return "".join(min({character, *_ascii_lookalikes(character)}) for character in form).casefold()


def _looks_ascii(character: str) -> bool:
    return next(_ascii_lookalikes(character), None) is not None


def _ascii_lookalikes(character: str) -> Iterator[str]:
    # Imported late: 60 ms, and nearly every name is ASCII.
    from confusable_homoglyphs import confusables

    for entry in confusables.is_confusable(character, greedy=True, preferred_aliases=[]) or ():
        yield from (glyph["c"] for glyph in entry["homoglyphs"] if glyph["c"].isascii())
