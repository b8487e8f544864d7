"""The subject of a question whose kind is known by its words: a name, two of them, revisions, or what to add.

Belongs here: what of a question is its subject. Does not belong here: which words are names (`question_names`),
patterns, which say where their subject is (`question_patterns`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge.question_names import KINDS, is_version

# Of these the question itself is the subject, of the next there may be a name.
_QUESTIONS = frozenset(["licence", "running", "testing"])
_OPTIONAL = frozenset(["next", "active", "configuration"])
# What stands after the thing to add, and before it.
_AFTER = (
    r"(?=[^\w\s-]|\s*$|\s+(?:like|for|to|in|into|at|go|goes|should|would|could|belongs?|lives?|that|which|where|what|"
    r"here|next|beside|besides|alongside|and|so|does|do|sits?|has|have|is|be|similar|such|as|with|of|on|under|by)\b)"
)
_NEW = re.compile(
    r"\b(?:(?:new|another|additional|second|third|extra|one more|my own|our own|further|custom)|"
    r"(?:add(?:ing)?|writ(?:e|ing)|wrote|creat(?:e|ing)|contribut(?:e|ing)|introduc(?:e|ing)|stick|"
    r"put(?:ting)?|plac(?:e|ing)|register(?:ing)?|does|would|should) (?:an?|my|our|the)(?: new| custom| own)?)\s+"
    r"(?:(?:kind|sort|type)s? of\s+(?:an?\s+)?)?(?P<noun>(?:[\w-]+\s+){0,3}?[\w-]+)"
    + _AFTER
    + r"|\bwhere (?:do|are) (?:the |our |all )?(?P<many>[\w-]+)s (?:live|go|sit|belong|kept|stored)\b",
    re.IGNORECASE,
)
_LIKE = re.compile(
    r"\b(?:(?<!['\u2019]d )(?<!would )like|similar to|such as|akin to|same as|besides?|next to|modelled on)\b",
    re.IGNORECASE,
)
_SINCE = re.compile(
    r"\b(?:since|after|from|newer than|later than|beyond|past|ahead of|on top of|compared (?:with|to)|last looked)\b",
    re.IGNORECASE,
)
_LATER = re.compile(r"\b(?:since then|since|afterwards|from then on|onwards?|ever since)\b", re.IGNORECASE)
# A library that a question is about: "do we still need zlib".
_LIBRARY = re.compile(
    r"\b(?:depends? on|depending on|needs?|needing|requires?|requiring|exposed to|pull(?:s|ing)? in|"
    r"link(?:s|ed)? (?:to|against)|rel(?:y|ies) on|versions? of|ranges? of|constraints? (?:of|on|for)|require for) "
    r"(?:an? |the |still |some )?[`'\"]?(?P<name>(?!(?:any|at|to|for|this|it|in|be|is|the|which|what|all|our|its|"
    r"external|other|third|these|those|by|on|and|or|a|node|python|java|ruby|php|go)\b)(?!\w+ly\b)[\w@][\w@./-]*\w)",
    re.IGNORECASE,
)
_NO_LIBRARY = re.compile(
    r"\.(?:mod|toml|json|xml|sbt|txt|lock|gemspec|ya?ml|exs)$|"
    r"^(?:SBOM|NuGet|CVE|OSS|CI|JDK|npm|PyPI|Gemfile|devDependencies)$"
)
# Where packages come from: of two revisions "a new npm package" is about no place.
_REGISTRIES = frozenset(["cargo", "composer", "gem", "maven", "npm", "nuget", "pip", "pypi", "rubygems"])
# What an overview is of, by the words of the question, the first that it has.
_OVERVIEWS = tuple(
    (re.compile(pattern, re.IGNORECASE), subject)
    for pattern, subject in (
        (r"\blanguages?\b|\bwritten in\b|\bpercent\w* of\b", "languages"),
        (r"\bhot ?spots?\b", "hotspots"),
        (
            r"\b(?:authors?|contributors?|committers?|maintainers?|people|developers?|who|wrote|devs?)\b",
            "authors",
        ),
        (r"\bimported\b|\bimports\b", "most imported files"),
        (r"\bcommits?\b(?!.*\bfiles?\b)", "commits"),
        (r"\b(?:churn\w*|(?:chang|edit|modif|touch)\w+)\b", "most changed files"),
        (r"\bcomplex\w*\b.*\bfiles?\b|\bfiles?\b.*\bcomplex\w*\b", "most complex files"),
        (r"\bcomplex\w*\b|\bcomplicated\b", "most complex functions"),
        (
            r"\b(?:largest|biggest|longest|fattest|top|huge|big|long)\b.*\bfiles?\b|"
            r"\bfiles?\b.*\b(?:largest|biggest|longest)\b",
            "largest files",
        ),
        (
            r"\b(?:largest|biggest|longest|oversized|most lines|over (?:a|one|\d+)[ -]?\w{0,20} lines)\b",
            "longest functions",
        ),
        (r"\b(?:functions?|methods?|class(?:es)?|symbols?|types)\b", "functions"),
        (
            r"\bhow (?:many|big|large|long)\b.*\b(?:files?|lines?)\b|\b(?:number|count|total|size)\b|"
            r"\b(?:lines of code|loc|k?sloc|big|large|size|long)\b",
            "files",
        ),
    )
)


def subjects(kind: str, question: str, names: Sequence[str], place: str = "") -> tuple[str, str] | None:
    """Return the subject of a question of a kind, and the second one; None if it lacks what the kind needs.

    `place` is where to look for what is named.
    """
    named = [name for name in names if not is_version(name)] or list(names)
    if kind in _QUESTIONS:
        return question, ""
    if kind == "dead":
        return (named[0] if named else place), ""
    if kind in _OPTIONAL:
        return next((name for name in [*named, place] if re.search(r"\w[/.]", name)), ""), ""
    if kind == "requirements":
        library = _LIBRARY.search(question)
        others = (name for name in named if not is_version(name) and not _NO_LIBRARY.search(name))
        return (library["name"] if library else next(others, "")), ""
    if kind == "overview":
        of = named[0] if named else ""
        return next(((subject, of) for words, subject in _OVERVIEWS if words.search(question)), None)
    if kind == "between":
        return _revisions(question, [*names, place] if place else names)
    if kind == "relation":
        # "How does X end up in Y?"
        both = [*named, place] if place else named
        return (both[0], both[1]) if len(both) > 1 else None
    if kind == "placement":
        after = [
            (question.find(name, like.end()) - like.end(), name)
            for like in _LIKE.finditer(question)
            for name in named
        ]
        if alike := min((pair for pair in after if pair[0] >= 0), default=None):
            return alike[1], ""
        if added := _NEW.search(question):
            noun = (added["noun"] or added["many"]).split()
            # Of "an error class" the first word says what it is like.
            while len(noun) > 1 and noun[-1].lower() in KINDS:
                noun.pop()
            return noun[-1], ""
    return (named[0], "") if named else None


def _revisions(question: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the revisions of a question as `older..newer`, and the file, if there is one."""
    revisions = [name for name in names if is_version(name)] or list(names[:2])
    others = [name for name in names if name not in revisions and name.lower() not in _REGISTRIES]
    if not revisions:
        return None
    if len(revisions) > 1:
        older, newer = sorted(revisions[:2], key=_version_key)
        return f"{older}..{newer}", others[0] if others else ""
    at = question.find(revisions[0])
    since = _SINCE.search(question[max(0, at - 40) : at]) or _LATER.search(question[at:])
    return (f"{revisions[0]}.." if since else f"..{revisions[0]}"), others[0] if others else ""


def _version_key(name: str) -> tuple[list[int], bool, str]:
    """Return a key that sorts versions, a preview before its release; other revisions stay in their order."""
    if name.startswith("HEAD"):
        return [10**9], False, ""
    if "." not in name:
        return [], False, ""
    released, *preview = re.split(r"(?<=\d)[-.]?[A-Za-z]", name, maxsplit=1)
    return [int(number) for number in re.findall(r"\d+", released)], not preview, "".join(preview)
