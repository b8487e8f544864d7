"""Which licence a text is, or names: licence files have the text, or its name or address; manifests have a name.

Belongs here: the patterns of licences. Does not belong here: which files are read, and the answer (`project_answers`).
"""

import re
from collections.abc import Collection

_TEXTS = (
    ("MIT", r"Permission is hereby granted, free of charge"),
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("LGPL", r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version"),
    ("MPL-2.0", r"Mozilla Public License,? (?:Version|v\.?) ?2\.0\s*[=\n]"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms[\s\S]*Neither the name"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("ISC", r"Permission to use, copy, modify, and/?(?:or)? distribute this software"),
    ("Unlicense", r"This is free and unencumbered software"),
)
# How each is named where its text is not: by its name, its identifier or its address.
_GPL = r"\b(?:GPL|(?i:GNU General Public Licen[cs]e))[ ,-]*(?i:v|version )?"
_NAMES = (
    (
        "Apache-2.0",
        r"licenses/LICENSE-2\.0|\bApache(?i:[ -]software)?(?i: licen[cs]e)?[ ,-]*(?i:v|version )?2",
    ),
    ("MIT", r"\bMIT\b|licenses/mit\b"),
    ("AGPL-3.0", r"\bAGPL|(?i:GNU Affero General Public)|licenses/agpl"),
    ("LGPL", r"\bLGPL|(?i:GNU (?:Lesser|Library) General Public)|licenses/lgpl"),
    ("GPL-3.0", rf"{_GPL}3|licenses/gpl-3"),
    ("GPL-2.0", rf"{_GPL}2|licenses/gpl-2"),
    ("MPL-2.0", r"\bMPL[ -]*v?2|(?i:Mozilla Public Licen[cs]e)|MPL/2\.0"),
    ("BSD-3-Clause", r"\bBSD[ -]3|(?i:\b(?:3|three)[ -]clause BSD|\b(?:new|modified|revised) BSD)"),
    ("BSD-2-Clause", r"\bBSD[ -]2|(?i:\b(?:2|two)[ -]clause BSD|\b(?:simplified|Free)[ -]?BSD licen[cs]e)"),
    ("BSD", r"\bBSD(?i: licen[cs]e|$)"),
    ("ISC", r"\bISC\b"),
    ("Unlicense", r"\bUnlicense\b|\bunlicense\.org"),
)
# How manifests that are programs, or XML, state a licence.
_STATED = re.compile(
    r"(?:^[ \t]{0,40}\w{1,40}\.licenses?[ \t]{0,40}=[ \t]{0,40}\[?[ \t]{0,40}[\"']|<PackageLicenseExpression>|"
    r"<license>\s{0,200}<name>)([^\"'<\n]{2,100})",
    re.MULTILINE,
)


def of_text(content: str) -> str | None:
    """Return the licence whose text a file has, the first one if there are several; None if it has none."""
    found = [
        (match.start(), name) for name, pattern in _TEXTS if (match := re.search(pattern, content, re.I))
    ]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def named_in(content: str) -> dict[str, int]:
    """Return the licences that a text names, each with the line (from 1) where it first does."""
    found: dict[str, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        for name, pattern in _NAMES:
            if re.search(pattern, line[:1_000]) and not (
                name == "BSD" and any(n.startswith("BSD-") for n in found)
            ):
                found.setdefault(name, number)
    return found


def is_other(stated: str, found: Collection[str]) -> bool:
    """Return whether a manifest states another licence than those that were found; one that names a file does not."""
    names = named_in(stated)
    if not names:
        return not re.search(r"\b(?:licen[cs]e|copying)\b", stated, re.I)
    both = [(name, other) for name in names for other in found if other.startswith(name)]
    return {name for name, _ in both} != {*names} or {other for _, other in both} != {*found}


def stated_in(content: str) -> tuple[str, int] | None:
    """Return the licence that a gemspec or a manifest of XML states, and its line."""
    match = _STATED.search(content)
    return (match[1].strip(), content.count("\n", 0, match.end()) + 1) if match else None
