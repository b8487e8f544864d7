"""The names of code in a question: which words are names, and which of them the question is about.

Belongs here: words and how they are written. Does not belong here: what is asked about the names
(`learned_wordings`, `questions`), looking names up (`lookups`).
"""

import re
from calendar import day_name, month_name
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

MAX_WORDS = 60
# What stands for a name among the words of a question: a path, a version, any other; where something is; what is
# written like code and is not what the question is about; and for the end of a clause.
PATH, VERSION, NAME, PLACE, OTHER, STOP = "<path>", "<version>", "<name>", "<place>", "<other>", "|"
NAMES = frozenset([PATH, VERSION, NAME])
# How sure it is that a word is a name: it names something in the repository; it is written like code; it stands beside
# "function"; it has a capital, or names something and is a word of the language.
KNOWN, LIKE_CODE, LIKE_NAME, CHANCE = 4, 3, 2, 1

# Beside a name they say of what kind it is.
KINDS = frozenset(
    re.findall(
        r"\w+",
        "class function method struct type interface trait module file folder directory crate macro object exception "
        "error fixture decorator constant package variable enum entity symbol protocol helper subroutine",
    )
)
NOUNS = KINDS | {"command", "option", "flag", "hook", "callback", "middleware", "plugin", "task", "handler"}
_ARTICLES = frozenset(
    re.findall(
        r"\w+",
        "the our this your my its own little small tiny short old private public internal static local global async "
        "inline virtual abstract exported free",
    )
)
# "the test class that checks ..." describes a class.
_DESCRIBING = frozenset(["that", "which", "whose", "who"])
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
        (r"(?<=\w)\.\.\.?(?=\w)", " "),
        # A setting with its value, a type with its parameters.
        (r"(?<=[A-Z_])=\S+|(?<=\w)<\w+>", ""),
    )
)
_QUOTES = "`'\"\u201c\u201d\u2018\u2019"
_AROUND = ",;:.()[]{}<>*\u2026\u2013\u2014" + _QUOTES
_VERSION = re.compile(
    r"v?\d+(?:\.\w+)+(?:-[\w.]+)?$|r\d{2,}$|v\d+(?:-\w+(?:\.\w+)*)?$|(?=\w*\d)[0-9a-f]{7,40}$|HEAD(?:[~^]\d*)*$|"
    r"[\w./-]*@v?\d+(?:\.\w+)+$|(?:\w+/)?(?:\w+-)*(?:release|rel|version|deploy|build|prod|staging)[-/](?:[\w-]+-)?v?\d[\w.-]*$|"
    r"(?:\w+/)?(?:[a-z]+-)+v?\d+(?:\.\d+)+$"
)
# A name with an owner is no file.
_PATH = re.compile(
    r"/|\w\.(?:pyi?|pyx|[cm]?[jt]sx?|go|rs|java|kts?|scala|[chm]|cc|cpp|cxx|hpp|hh|inl|cs|csproj|rb|gemspec|php|swift|exs?|erl|"
    r"sh|lua|jl|f90|sql|proto|vue|svelte|html?|s?css|json|toml|ya?ml|xml|ini|cfg|conf|txt|md|rst|adoc|mod|lock|gradle|sbt|"
    r"cmake|tf|env|png|svg)$",
    re.IGNORECASE,
)
# With underscores, scopes, inner capitals, or digits after capitals; an option, a file of a name.
_LIKE_CODE = re.compile(
    r"\w_|^_\w|\w(?:::|#|->|\.|\\)\w|[a-z]\d{0,3}[A-Z]|[A-Z]{2}[a-z]|[A-Z]\w{0,40}\d|^[.@$]\w|^--\w|"
    r"\w/$|/\w{1,40}/|^/\w|\.\w{1,20}/|/\w{0,40}[.-]"
)
_ABBREVIATIONS = ("i.e", "e.g", "etc", "w.r.t", "a.k.a", "c.f", "vs")
_POSSESSIVE = re.compile(r"\w['\u2019]s$")
_PARAMETERS = re.compile(r"\([^()]*\)$")


_CALENDAR = frozenset(name.lower() for name in (*month_name, *day_name) if name)

# What says that a word is the name of a folder, and that several are.
_FOLDERS = frozenset(["folder", "directory", "package", "crate"])
_SEVERAL = frozenset(["folders", "directories", "packages", "crates", "modules"])

# What stands before the place of something: "close in src/net.c", "the close of src/net.c".
_IN = frozenset(["in", "inside", "within", "under", "below", "across"])
_OF = frozenset(["of", "from", "on"])
_OUTSIDE = frozenset(["outside", "except", "excluding", "besides", "than", "not"])
_EXCLUDING = frozenset(["except", "excluding", "unlike", "than", "not", "without"])
_EXCLUDING_FROM = frozenset(["apart", "aside", "instead", "except"])
_PARAMETER = frozenset(["parameter", "param", "argument", "arg"])
_MEMBERS = frozenset(
    ["methods", "functions", "members", "classes", "types", "files", "parts", "places", "lines"]
)


class Mention(NamedTuple):
    """A word of a question that may be what it is about: its text, which words it is, and how sure it is a name."""

    text: str
    start: int
    end: int
    certainty: int
    # Whether it is in quotes, or has parentheses behind it.
    marked: bool


class Names(NamedTuple):
    """The words of a question in lower case, names replaced by what they are; the names, in order; and their place.

    The place is the file, folder or type in which the names are to be looked for; "" if it is not said.
    """

    words: list[str]
    names: list[str]
    place: str = ""
    # What is written like a name and names nothing in the repository, beside a name that does.
    unknown: tuple[str, ...] = ()
    # Whether the names may be words of the language that name something by chance.
    by_chance: bool = False
    mentions: tuple[Mention, ...] = ()
    # Which of the words is the first name, or that of `mentions` that the question is about.
    main: int | None = None


def read(question: str, common: Collection[str], known: Collection[str] = (), repository: str = "") -> Names:
    """Return the words of a question on a repository, and the names that it is about.

    `common` are words, in lower case, that many questions have: they are no names unless they are marked as such.
    `known` are words that name something in the repository: beside them, words that are only written like names
    say something else ("the PR", "in C").
    """
    tokens = _tokens(question)
    forms = [_forms(token) for token in tokens]
    texts = [next((form for form in each if form in known), each[-1]) for each in forms]
    for index, owner in enumerate(texts[:-1]):
        # "Session's private close" is Session.close.
        at = _past(texts, index + 1, 1, _ARTICLES)
        if _POSSESSIVE.search(tokens[index]) and owner in known and texts[at] in known:
            texts[index], texts[at] = "", f"{owner}.{texts[at]}"
    certainties = [
        _certainty(token, index, texts, common, known) if texts[index] else 0
        for index, token in enumerate(tokens)
    ]
    for index, qualified in _within(texts):
        if qualified in known:
            certainties[index] = KNOWN
    for index in _looked_for(texts):
        if certainties[index] == CHANCE and texts[index] in known:
            certainties[index] = KNOWN
    certainties = _without_excluded(texts, certainties, repository)
    place = _place(texts, certainties)
    kept = [
        0 if index == place or is_version(text) else sure
        for index, (text, sure) in enumerate(zip(texts, certainties, strict=True))
    ]
    names: list[str] = []
    words: list[str] = []
    mentions: list[Mention] = []
    for index, (token, text, sure) in enumerate(zip(tokens, texts, certainties, strict=True)):
        start = len(words)
        if index == place:
            words.append(PLACE)
        elif sure and (sure == max(kept) or is_version(text)):
            names.append(text)
            words.append(VERSION if is_version(text) else PATH if is_path(text) else NAME)
        elif sure >= LIKE_CODE:
            words.append(OTHER)
        else:
            words += re.findall(r"[a-z0-9'+#&-]+", text.lower())
        if index != place and sure >= LIKE_NAME and not is_version(text):
            mentions.append(Mention(text, start, len(words), sure, _is_marked(token)))
        if token.rstrip(_QUOTES + ")").endswith((".", "?", "!", ";", ":", ",")) and index + 1 < len(tokens):
            words.append(STOP)
    unknown = tuple(
        text
        for index, (text, sure) in enumerate(zip(texts, certainties, strict=True))
        if (LIKE_NAME <= sure < max(kept) and not is_version(text))
        or (not sure and max(kept) and _is_called(index, texts, common))
    )
    where = (
        ""
        if place is None or not _OUTSIDE.isdisjoint(map(str.lower, texts[max(0, place - 3) : place]))
        else texts[place]
    )
    by_chance = max(kept, default=0) == CHANCE and all(map(is_plain, names))
    main = next((index for index, word in enumerate(words) if word in NAMES), None)
    return Names(words, list(dict.fromkeys(names)), where, unknown, by_chance, tuple(mentions), main)


def _without_excluded(texts: Sequence[str], certainties: Sequence[int], repository: str) -> list[int]:
    """Return how sure names are, without what is not asked about beside another name.

    That is what a question leaves out ("apart from Session", "not the one of Y"), a parameter ("the size parameter of
    resize"), and the repository itself.
    """
    own = [text.lower() == repository.lower() for text in texts]
    others = any(sure >= LIKE_NAME and not same for sure, same in zip(certainties, own, strict=True))
    kept = [0 if same and others else sure for sure, same in zip(certainties, own, strict=True)]
    for index, sure in enumerate(kept):
        before = [text.lower() for text in texts[max(0, index - 2) : index]]
        beside = {text.lower() for text in (*texts[max(0, index - 1) : index], *texts[index + 1 : index + 2])}
        left_out = not _PARAMETER.isdisjoint(beside) or (
            bool(before)
            and (before[-1] in _EXCLUDING or (before[0] in _EXCLUDING_FROM and before[-1] in _OF))
        )
        if sure and left_out and any(other for at, other in enumerate(kept) if at != index):
            kept[index] = 0
    return kept


def _place(texts: Sequence[str], certainties: Sequence[int]) -> int | None:
    """Return which word says where to look for another one that is a name; None if none does.

    "close in src/net.c", "the close of src/net.c", "close (src/net.c)", "which methods of Session use close".
    """
    for index, text in enumerate(texts):
        beside = "".join(texts[index + 1 : index + 2]).lower()
        if certainties[index] < (LIKE_NAME if beside in _FOLDERS else LIKE_CODE) or is_version(text):
            continue
        others = [
            other
            for other, sure in enumerate(certainties)
            if sure >= LIKE_NAME and texts[other] != text and not is_version(texts[other])
        ]
        before = _past(texts, max(index - 1, 0), -1, NOUNS | _ARTICLES | {"a", "an"})
        preposition, path = texts[before].lower(), is_path(text)
        named = before - 1
        while named > 0 and texts[named].lower() in NOUNS | _PARAMETER and named not in others:
            named -= 1
        inside = preposition in _IN or (
            preposition in _OF
            and (named in others or texts[before - 1].lower() in _MEMBERS)
            and any(other != before for other in others)
        )
        # "The size parameter of resize" is not what is in it.
        inside = inside and _PARAMETER.isdisjoint(map(str.lower, texts[named + 1 : before]))
        beside_code = path and any(
            certainties[other] >= certainties[index] and not is_path(texts[other]) for other in others
        )
        if others and (inside or beside_code):
            return index
    return None


def folder_noun(question: str, name: str) -> str:
    """Return the word beside a name that says it is one of a folder, in lower case; '' if none does."""
    words, quoted = r"(folder|directory|dir|package|subpackage|crate|module|namespace)", rf"[{_QUOTES}]?"
    named = rf"{quoted}{re.escape(name)}\b"
    pattern = rf"\b{words} {named}|\b{re.escape(name)}/?{quoted} {words}\b"
    # "The crates printer and searcher", "the printer and searcher packages".
    pattern += rf"|\b{words}s (?:\S+ and )?{named}|\b{named} (?:and \S+ )?{words}s\b"
    match = re.search(pattern, question, re.IGNORECASE)
    return next(noun for noun in match.groups() if noun).lower() if match else ""


def _within(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the plain words that may be the name of something in what is named after them, and `that:word`.

    "the get of HttpClient", "convert in utils.go": such words are names only if the repository has them there.
    """
    for index, preposition in enumerate(texts[:-1]):
        named, owner = _past(texts, index - 1, -1, NOUNS), _past(texts, index + 1, 1, NOUNS | _ARTICLES)
        if (
            preposition.lower() in _IN | _OF
            and named >= 0
            and is_plain(texts[named])
            and not is_plain(texts[owner])
        ):
            yield named, f"{texts[owner]}:{texts[named]}"


def _looked_for(texts: Sequence[str]) -> Iterator[int]:
    """Yield the plain words that may be what is looked for in a file or folder: "who calls bake in shop/till.py"."""
    for index, preposition in enumerate(texts[1:-1], 1):
        place = _past(texts, index + 1, 1, NOUNS | _ARTICLES)
        folder = "".join(texts[place + 1 : place + 2]).lower() in _FOLDERS
        if preposition.lower() in _IN and (is_path(texts[place]) or folder):
            yield index - 1


def _past(texts: Sequence[str], index: int, step: int, words: Collection[str]) -> int:
    """Return the place of the first word from `index` on that is none of some words, or of the outermost one."""
    while 0 < index < len(texts) - (step > 0) and texts[index].lower() in words:
        index += step
    return index


def candidates(question: str) -> set[str]:
    """Return the words of a question that may name something in a repository; `where:word` is a word in another one."""
    forms = [_forms(token) for token in _tokens(question)]
    qualified = {name for _, name in _within([each[-1] for each in forms])}
    return {form for each in forms for form in each if form} | qualified


def is_version(word: str) -> bool:
    """Return whether a word is written like a release or a commit."""
    return bool(_VERSION.match(word))


def is_path(name: str) -> bool:
    """Return whether a name is written as that of a file or folder."""
    return bool(_PATH.search(name))


def is_plain(name: str) -> bool:
    """Return whether a name is written as words of a language are."""
    return name.isalpha() and name.islower()


def is_like_code(name: str) -> bool:
    """Return whether a name is written as only code is: with underscores, scopes, inner capitals."""
    return bool(_LIKE_CODE.search(name)) and not is_version(name)


def _tokens(question: str) -> list[str]:
    for pattern, words in _REWRITTEN:
        question = pattern.sub(words, question)
    return question.split()[:MAX_WORDS]


def _forms(token: str) -> list[str]:
    """Return a token without what is around it; first as a name that ends in `!` or `?`, as Ruby has them."""
    inner = _PARAMETERS.sub("", token.strip(",;:?!\u2026" + _QUOTES).rstrip("."))
    forms = []
    for form in (token, inner):
        # A path may begin with a dot.
        bare = form.rstrip(_AROUND if form is token else _AROUND + "?!").lstrip(_AROUND.replace(".", ""))
        bare = bare if "/" in bare and re.match(r"\.{1,2}[\w/]", bare) else bare.lstrip(".")
        # The end of parameters belongs to the name: `A<T>`.
        bare += ">" * min(max(bare.count("<") - bare.count(">"), 0), form.count(">") - bare.count(">"))
        forms.append(re.sub(r"['\u2019]s?$", "", bare))
    return ["", ""] if forms[1].lower() in _ABBREVIATIONS else forms


def _is_marked(token: str) -> bool:
    """Return whether a token is in quotes, or has parentheses behind it."""
    bare = token.strip(",;:.?!")
    called = bare.endswith(")") and bare.partition("(")[0][-1:].isalnum()
    return called or (len(bare) > 2 and bare[0] in _QUOTES and bare[-1] in _QUOTES)


def _is_called(index: int, texts: Sequence[str], common: Collection[str]) -> bool:
    """Return whether a word stands where the name of what is not there any more may: "a failf method"."""
    text = texts[index].lower()
    around = (
        texts[index - 1].lower() if index else "",
        *(word.lower() for word in texts[index + 1 : index + 2]),
    )
    return around[0] in ("a", "an") and not NOUNS.isdisjoint(around[1:]) and text not in (*common, *NOUNS)


def _certainty(
    token: str, index: int, texts: Sequence[str], common: Collection[str], known: Collection[str]
) -> int:
    """Return how sure it is that a word is a name; 0 if it is none."""
    text = texts[index]
    lower = text.lower()
    before = texts[index - 1].lower() if index else ""
    after, later = [*(text.lower() for text in texts[index + 1 : index + 3]), "", ""][:2]
    # "the flush function", but not "which function calls", "a retry function".
    earlier = texts[index - 2].lower() if index > 1 else ""
    beside = lower not in NOUNS and (
        (before in NOUNS and lower not in common and earlier not in _ANY)
        or (after in NOUNS and before in _ARTICLES and later not in _DESCRIBING)
        or (after in KINDS and not index and text[:1].isupper() and text in known)
        or (
            text in known
            and (before in _SEVERAL or (before == "and" and texts[index - 3].lower() in _SEVERAL))
        )
    )
    # "I", and the first word of a sentence, have a capital without being names.
    usual = (
        lower in common
        and not _LIKE_CODE.search(text)
        and (not index or not texts[index - 1] or len(text) < 2)
    )
    if (text in known or text.rpartition(".")[2] in known) and (
        _is_marked(token) or beside or not (usual or is_plain(text))
    ):
        return KNOWN
    if is_version(text) or (re.search(r"[A-Za-z]", text) and (_is_marked(token) or _LIKE_CODE.search(text))):
        return LIKE_CODE
    if not re.search(r"[A-Za-z]", text) or lower in common or lower in _CALENDAR:
        return 0
    if "/" in text or beside or (after in NOUNS and before not in _ANY and lower not in NOUNS):
        return LIKE_NAME
    return CHANCE if (text in known and len(text) > 1) or (text[0].isupper() and index) else 0
