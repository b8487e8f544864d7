"""The names of code in a question: which words are names, and which of them the question is about.

Belongs here: words and how they are written. Does not belong here: what is asked about the names
(`learned_wordings`, `questions`), looking names up (`lookups`).
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

MAX_WORDS = 60
# What stands for a name among the words of a question: a path, a version, any other; and for the end of a clause.
PATH, VERSION, NAME, STOP = "<path>", "<version>", "<name>", "|"
NAMES = frozenset([PATH, VERSION, NAME])
# How sure it is that a word is a name.
KNOWN, LIKE_CODE, LIKE_NAME, CAPITAL = 4, 3, 2, 1

# Beside a name they say of what kind it is.
_NOUNS = frozenset(
    re.findall(
        r"\w+",
        "class function method struct type interface trait module file folder directory macro object exception error "
        "fixture decorator constant package variable enum entity symbol protocol helper subroutine",
    )
)
# "a retry function" is any of the kind.
_ANY = frozenset(["a", "an", "any", "some", "which", "what", "that", "this", "every", "each", "one", "no"])
_REWRITTEN = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"\b(what|where|who|when|why|how|it|that|there|here)['\u2019]s\b", r"\1 is"),
        (r"^(what|where|who|when|how)s\b", r"\1 is"),
        (r"\b(what|where|who|when|why|how|you|we|they)['\u2019]re\b", r"\1 are"),
        (r"n['\u2019]t\b", " not"),
        (r"\b(i|we|you|they|who|what)['\u2019]ve\b", r"\1 have"),
        (r"\bi['\u2019]m\b", "i am"),
        (r"['\u2019]d\b", " would"),
        (r"['\u2019]ll\b", " will"),
        # Go's "(*Router).match" is Router.match.
        (r"\(\*?(\w+)\)\.(?=\w)", r"\1."),
        # "1.4..1.5" are two revisions.
        (r"(?<=\w)\.\.\.?(?=v?\d)", " "),
    )
)
_QUOTES = "`'\"\u201c\u201d\u2018\u2019"
_AROUND = ",;:.()[]{}<>*\u2026\u2013\u2014" + _QUOTES
_VERSION = re.compile(r"v?\d+(?:\.\w+)+(?:-[\w.]+)?$|v\d+(?:-\w+(?:\.\w+)*)?$|(?=\w*\d)[0-9a-f]{7,40}$")
_PATH = re.compile(r"/|\w\.[a-zA-Z]{1,4}$")
# With underscores, scopes, inner capitals, or digits after capitals; an option, a file of a name.
_LIKE_CODE = re.compile(
    r"\w_|^_\w|\w(?:::|#|->|\.)\w|[a-z]\d*[A-Z]|[A-Z]{2,}[a-z]|[A-Z]\w*\d|^[.@$]\w|^--\w|\w/$|/\w+/|^/\w|\.\w+/|/\w*[.-]"
)
_PARAMETERS = re.compile(r"\([^()]*\)$")


class Names(NamedTuple):
    """The words of a question in lower case, names replaced by what they are; and the names, in order."""

    words: list[str]
    names: list[str]


def read(question: str, common: Collection[str], known: Collection[str] = ()) -> Names:
    """Return the words of a question, and the names that it is about.

    `common` are words, in lower case, that many questions have: they are no names unless they are marked as such.
    `known` are words that name something in the repository: beside them, words that are only written like names
    say something else ("the PR", "in C").
    """
    tokens = _tokens(question)
    forms = [_forms(token) for token in tokens]
    texts = [next((form for form in each if form in known), each[-1]) for each in forms]
    certainties = [
        _certainty(token, index, texts, common, known) if texts[index] else 0
        for index, token in enumerate(tokens)
    ]
    least = max([0, *(sure for sure, text in zip(certainties, texts, strict=True) if not is_version(text))])
    names: list[str] = []
    words: list[str] = []
    for index, (token, text, sure) in enumerate(zip(tokens, texts, certainties, strict=True)):
        if sure and (sure == least or is_version(text)):
            names.append(text)
            words.append(VERSION if is_version(text) else PATH if _PATH.search(text) else NAME)
        else:
            words += re.findall(r"[a-z0-9'+#&-]+", text.lower())
        if token.rstrip(_QUOTES + ")").endswith((".", "?", "!", ";", ":", ",")) and index + 1 < len(tokens):
            words.append(STOP)
    return Names(words, list(dict.fromkeys(names)))


def candidates(question: str, common: Collection[str]) -> set[str]:
    """Return the words of a question that may name something in a repository."""
    return {
        form
        for token in _tokens(question)
        for form in _forms(token)
        if len(form) > 1 and (form not in common or _is_marked(token))
    }


def is_version(word: str) -> bool:
    """Return whether a word is written like a release or a commit."""
    return bool(_VERSION.match(word))


def _tokens(question: str) -> list[str]:
    for pattern, words in _REWRITTEN:
        question = pattern.sub(words, question)
    return question.split()[:MAX_WORDS]


def _forms(token: str) -> list[str]:
    """Return a token without what is around it; first as a name that ends in `!` or `?`, as Ruby has them."""
    bare = re.sub(r"['\u2019]s?$", "", token.strip(_AROUND))
    plain = _PARAMETERS.sub("", token.strip(",;:.?!\u2026" + _QUOTES)).strip(_AROUND + "?!")
    return [bare, re.sub(r"['\u2019]s?$", "", plain)]


def _is_marked(token: str) -> bool:
    """Return whether a token is in quotes, or has parentheses behind it."""
    bare = token.strip(",;:.?!")
    return (len(bare) > 2 and bare[0] in _QUOTES and bare[-1] in _QUOTES) or bool(
        re.search(r"\w\(.*\)$", bare)
    )


def _certainty(
    token: str, index: int, texts: Sequence[str], common: Collection[str], known: Collection[str]
) -> int:
    """Return how sure it is that a word is a name; 0 if it is none."""
    text = texts[index]
    lower = text.lower()
    if text in known and (text not in common or _is_marked(token)):
        return KNOWN
    if is_version(text) or (re.search(r"[A-Za-z]", text) and (_is_marked(token) or _LIKE_CODE.search(text))):
        return LIKE_CODE
    if not re.search(r"[A-Za-z]", text) or lower in common:
        return 0
    before = texts[index - 1].lower() if index else ""
    after = texts[index + 1].lower() if index + 1 < len(texts) else ""
    if "/" in text or (
        lower not in _NOUNS and (before in _NOUNS or (after in _NOUNS and before not in _ANY))
    ):
        return KNOWN if text in known else LIKE_NAME
    return CAPITAL if text[0].isupper() and index else 0
