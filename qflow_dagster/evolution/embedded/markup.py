"""Scripts of HTML, Vue and Svelte. Their code stands where it stands in the file, character for character.

Scripts that share their names are one program. What keeps two scripts apart stands where the tag between them was.
"""

import difflib
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from qflow_dagster.evolution.embedded.protocol import Code, NotMergedError

# As Linguist names them.
KINDS = ("HTML", "Vue", "Svelte")
_JAVASCRIPT = ("", "js", "jsx", "javascript", "ecmascript", "x-javascript", "babel", "mjs", "module")
_LANGUAGES = {
    **dict.fromkeys(_JAVASCRIPT, "javascript"),
    "ts": "typescript",
    "typescript": "typescript",
    "tsx": "tsx",
}
# What looks like a tag within these is text; scripts within the others are not run where they are.
_RAW = ("script", "style", "textarea", "title", "xmp")
_QUIET = ("template", "noscript", "iframe", "noembed", "noframes")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_COVERED = re.compile(r"[^\r\n]")
# A parent component may set what a component of Svelte exports.
_PROPERTY = re.compile(r"\bexport\s+let\s+([A-Za-z_$][\w$]*)")
_TAG = re.compile(r"<!--|<(/?)([A-Za-z][\w:-]*)")
_REST = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*+>""")
_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)(?:\s*+=\s*+("[^"]*"|'[^']*'|[^\s>"']+))?""")
_TEMPLATE = re.compile(r"\{\{|\{%|<%|<\?")


class Script(NamedTuple):
    """A script: where its code starts and ends, its language, and whether no other script sees its names."""

    start: int
    end: int
    language: str
    is_module: bool


def read(file: str, kind: str) -> Code | None:
    """Return the code of the scripts of a file; None: there are none. All are in the language of the first."""
    scripts = list(_scripts(file, kind))
    if not scripts:
        return None
    language = scripts[0].language
    scripts = [script for script in scripts if script.language == language]
    parts: list[str] = []
    outside: list[str] = []
    end = 0
    for number, script in enumerate(scripts):
        markup = file[end : script.start]
        outside.append(markup)
        # A block that is empty ends a statement that has no semicolon, and is no part of it.
        before = "{" if script.is_module else "{}" if number else ""
        after = "}" if number and scripts[number - 1].is_module else ""
        parts.append(_between(markup, after, before))
        parts.append(file[script.start : script.end])
        end = script.end
    outside.append(file[end:])
    parts.append(_between(file[end:], "}" if scripts[-1].is_module else "", ""))
    names = {word for text in outside for word in _WORD.findall(text)}
    code = "".join(file[script.start : script.end] for script in scripts)
    if kind == "Svelte":
        names |= {name.removeprefix("$") for name in names} | set(_PROPERTY.findall(code))
    doubt = ""
    if kind == "HTML" and _TEMPLATE.search(code):
        doubt = "the script may be a template, in which marks such as {{ }} stand for other code"
    spans = tuple((script.start, script.end) for script in scripts)
    return Code("".join(parts), language, frozenset(names), doubt, spans)


def merged(file: str, code: Code, after: str) -> str:
    """Return the file with the changes of its code.

    Raises:
        NotMergedError: something outside of the scripts would change.
    """
    parts: list[str] = []
    end = 0
    for start, stop, text in _differences(code.text, after):
        if not any(first <= start and stop <= last for first, last in code.spans):
            raise NotMergedError("the change is not within a script")
        parts += [file[end:start], text]
        end = stop
    return "".join([*parts, file[end:]])


def _between(markup: str, first: str, last: str) -> str:
    """Return blanks in place of markup, on as many lines, which begin and end with these texts."""
    blank = _COVERED.sub(" ", markup)
    return first + blank[len(first) : len(blank) - len(last)] + last


def _differences(before: str, after: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, new text) of what differs."""
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    starts = [0, *accumulate(map(len, old))]
    same = _common(old, new)
    tail = _common(old[same:][::-1], new[same:][::-1])
    inner = (lines[same : len(lines) - tail] for lines in (old, new))
    matcher = difflib.SequenceMatcher(None, *inner, autojunk=False)
    for tag, first, last, new_first, new_last in matcher.get_opcodes():
        if tag == "equal":
            continue
        removed = "".join(old[same + first : same + last])
        added = "".join(new[same + new_first : same + new_last])
        kept = _common(removed, added)
        kept_behind = _common(removed[kept:][::-1], added[kept:][::-1])
        start = starts[same + first]
        yield start + kept, start + len(removed) - kept_behind, added[kept : len(added) - kept_behind]


def _common(one: list[str] | str, other: list[str] | str) -> int:
    """Return how many elements two sequences have in common at their start."""
    limit = min(len(one), len(other))
    return next((number for number in range(limit) if one[number] != other[number]), limit)


def _scripts(file: str, kind: str) -> Iterator[Script]:
    for attributes, start, end in _script_elements(file, kind):
        stated = attributes.get("lang") or attributes.get("type", "").rpartition("/")[2]
        language = _LANGUAGES.get(stated.lower())
        if language is not None and "src" not in attributes and file[start:end].strip():
            yield Script(start, end, language, kind == "HTML" and stated == "module")


def _script_elements(file: str, kind: str) -> Iterator[tuple[dict[str, str], int, int]]:
    """Yield the attributes of each script, and where its content starts and ends. A tag that is not closed is the last.

    In Vue the elements of the file are its blocks, of which each is read to its end. In Svelte, where text may hold
    what looks like a tag, a script begins a line, and no other element is looked at but styles.
    """
    at = 0
    while tag := _TAG.search(file, at):
        name = (tag[2] or "").lower()
        at = tag.end()
        if tag[0] == "<!--":
            at = file.find("-->", at) + 3
            if at < 3:
                return
            continue
        if kind == "Svelte" and (
            name not in _RAW
            or (name == "script" and file[tag.start() - 1 : tag.start()] not in ("", "\r", "\n"))
        ):
            continue
        rest = _REST.match(file, at)
        if rest is None:
            return
        at = rest.end()
        if tag[1] or rest[0].endswith("/>") or (kind == "HTML" and name not in _RAW and name not in _QUIET):
            continue
        end = _end_of(name, file, at)
        if end is None:
            return
        if name == "script":
            yield _attributes(rest[0]), at, end
        at = end


def _end_of(name: str, file: str, at: int) -> int | None:
    """Return where the content of an element ends; only scripts, styles and fields of text hold no elements."""
    depth = 1
    for tag in _TAG.finditer(file, at):
        if (tag[2] or "").lower() != name:
            continue
        if tag[1]:
            depth -= 1
        elif name not in _RAW:
            rest = _REST.match(file, tag.end())
            depth += rest is not None and not rest[0].endswith("/>")
        if depth == 0:
            return tag.start()
    return None


def _attributes(tag: str) -> dict[str, str]:
    return {
        attribute[1].lower(): (attribute[2] or "").strip("\"'").strip()
        for attribute in _ATTRIBUTE.finditer(tag)
    }
