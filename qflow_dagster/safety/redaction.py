"""Taking secrets out of text and data before they are stored, logged or sent.

Belongs here: what a secret looks like, and replacing it. Used where text comes from outside
(errors, stacks, contexts) or goes there (notifications, logs). It errs on the side of taking
too much. Does not belong here: content that a person must see exactly, as what an approval is
about.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
# Characters beyond the end of a shortened text in which a secret that begins before it is recognised.
CUT_MARGIN = 1_000

# A name may have more parts, as token_value, passwordHash and password2.
_PARTS = (
    r"(?:[_-]?[0-9]{1,4}|[_-](?!count|limit|length|type|usage|expir)[a-z]{1,20}"
    r"|(?-i:[A-Z][a-z]{1,20})|\[[0-9]{1,4}\])"
)
# What may close a name, and what may stand between it and its value.
_CLOSED = r"(?:\\{0,3}[\"'`]|&quot;|%22)?"
_IS = (
    r"\s{0,20}(?::\s?(?:str|string|bytes|any)\s{0,5}=|:=|[-=]>|<-|[=!:]==?|[=:]|%3[ADad])\s{0,20}"
    r"(?:[|>][+-]?\s{1,20})?"
)
# Tokens and passes may be counted.
_NO_COUNT = rf"(?!s?{_PARTS}{{0,3}}{_CLOSED}{_IS}[\"']?[0-9]{{1,9}}(?![\w.-]))"
# The shell's folders end as a short word for a password does.
_NO_FOLDER = r"(?!(?-i:(?<=\bPWD)|(?<=OLDPWD))(?:\Z|[\"']?\s{0,20}[=:]\s{0,20}[\"']?[/~]))"
# The name of what is a secret, whatever it looks like: of keys of data and in text. What comes before
# (DB_PASSWORD) is not part of it: that would make it quadratic.
_NAME = (
    r"(?i:(?:pass(?:word|wd|phrase|code)[a-z]{0,10}|secret[a-z]{0,10}|(?:csrf|xsrf)[a-z]{0,20}"
    rf"|token{_NO_COUNT}|pass(?<!bypass)(?<!compass)(?<!trespass)(?<!surpass){_NO_COUNT}|pwd{_NO_FOLDER}"
    r"|auth|dsn|authorization|credential|cookie|session[-_]?id|signature"
    r"|(?:api|access|private|account|signing|encryption)[-_ ]?key|connection[-_ ]?string)"
    rf"s?{_PARTS}{{0,3}}+(?<!error)(?<!exception)(?<!warning))"
)
_SECRET_NAME = re.compile(rf"{_NAME}(?!\w)")

# A value in quotes: whatever is in them, escaped quotes too, after the letters of a language.
_QUOTED = (
    r"(?:(?i:[fubr@$]{0,2})(?:(\"\"\")(?:(?!\"\"\")[\s\S]){3,}+|(\'\'\')(?:(?!\'\'\')[\s\S]){3,}+|(\'\')(?![\s,;)}\]])[^'\n]{3,}+"
    r"|(\\[\"'])(?:[^\"'\\\n]|\\[^\"']){3,}+|(\")(?:[^\"\\\n]|\\.){3,}+|([\'`])(?:[^'`\\\n]|\\.){3,}+))"
)
# Words in quotes that touch one another, or something else, as a shell joins them.
_JOINED = r"(?:(?!\"\"|'')(?:\"[^\"\\\s]{0,200}+\"|'[^'\\\s]{0,200}+')(?=[\w\"'$])\S++)"
# A list or an object of quoted items, one within it too, and what hangs on it; what is in their quotes
# does not end it.
_STRING = r"\"(?:[^\"\\]|\\[\s\S])*+\"?|'(?:[^'\\]|\\[\s\S])*+'?"
_WITHIN = rf"[\[({{](?:{_STRING}|[^\[\](){{}}\"'])*+[\])}}]?"
_NESTED = rf"(?:[\[({{]\s{{0,20}}(?=\\?[\"'\[{{])(?:{_STRING}|{_WITHIN}|[^\[\](){{}}\"'])++[\])}}]?\S*+)"
# Anything else, to the next blank: a password may hold quotes, commas and what looks like a literal.
# Where it was the type or another name of the value, that comes after it.
_LITERAL = r"(?:null|none|nil|true|false|undefined|str|bytes|int|bool)(?:[,;&]?(?:\s|\Z)|,\"|[\"')}\]](?!\w))"
_BARE = rf"(?:(?![\"'`]|(?i:{_LITERAL}))\S{{3,}}+(?:\s{{1,5}}(?:=>?|:=)\s{{1,5}}(?:{_QUOTED}|\S++))?)"
_VALUE = rf"(?:{_JOINED}|{_QUOTED}|{_NESTED}|{_BARE})"
_SPACES = r"[ \t]{1,20}"
_OPTION = r"(?i:(?<![\w-])--?(?:[a-z]{1,20}-){0,3}(?:pass(?:word|wd|phrase)?|pwd|token|secret|key|auth|credentials))"

# What follows the name of a secret: what stands between them, and which values may stand there.
_AFTER_NAME = (
    # name=value, "name": "value", name => value, ['name'] = value
    (rf"{_CLOSED}\]?{_IS}", _VALUE),
    # {"name": "name", "value": "value"}, <x name="name" value="value">
    (rf"\\?[\"']\s{{0,20}},?\s{{0,20}}\\?[\"']?(?i:value|val|content|v){_CLOSED}{_IS}", _VALUE),
    # setName("value"), ('name', 'value')
    (rf"(?:{_CLOSED}\s{{0,20}},|\s?\()\s{{0,20}}", rf"(?:{_QUOTED}|{_NESTED})"),
    # <name>value</name>, <x name="name">value</x>
    (r"[\"']?>", r"[^<]{1,200}+(?=</)"),
)
_NAMED = rf"({_NAME})(?:{'|'.join(f'({between}){value}' for between, value in _AFTER_NAME)})"

# Each pattern, with words (in small letters) without one of which it cannot fit: most text has none
# of them, and looking for words is ten times as fast. Its groups stay: they say what was there.
_PATTERNS = tuple(
    (keywords.split(), re.compile(pattern))
    for keywords, pattern in (
        (
            "-----begin",
            r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ),
        (
            "private-lines",
            r"(Private-Lines:\s{0,5}[0-9]{1,4}(?:\s|\\[rn]){1,5})"
            r"(?:[ \t]{0,20}[A-Za-z0-9+/=]{1,200}+(?:\s|\\[rn]|\Z))++",
        ),
        # user:password@ in an address, where a number alone is a port; or a key alone before the @.
        (
            "://",
            r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s:/@\[]{0,200}:)(?![0-9]{1,5}[/?#\"',;)])[^\s@]{1,250}+"
            r"(?:@[^\s@\"'<>]{1,250}(?=@)){0,3}(?=@)",
        ),
        ("://", r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[A-Za-z0-9_.~-]{16,}(?=@)"),
        # The address of an error intake: a key, and a number at the end.
        (
            "http",
            r"(\bhttps?://)[A-Za-z0-9_.~-]{1,100}+(?=@[\w.:-]{1,100}+(?:/[\w-]{1,60}){0,3}/[0-9]{1,20}(?![\w/.]))",
        ),
        # Headers: what follows the scheme has a digit, a sign or mixed letters, which words have not.
        (
            "bearer basic token",
            r"((?i:\b(?:bearer|basic|token)\s{1,20}))(?=\S*?(?:[0-9=+/]|[a-z][A-Z]))[A-Za-z0-9._~+/=-]{8,}",
        ),
        ("digest", r"((?i:\bdigest\s{1,20}))(?=\w{1,20}=)[^\r\n]+"),
        # Headers of which all of the line is secret.
        (
            "cookie authorization",
            rf"((?i:\b(?:(?:set-)?cookies?|(?:proxy-)?authorization){_CLOSED}\s{{0,20}}[=:]\s{{0,20}}))"
            rf"(?:{_QUOTED}|{_NESTED}|(?![\"'])\S[^\r\n\"']*)",
        ),
        (
            "pass pwd secret token key auth credential cookie sessionid session_id session-id csrf xsrf dsn signature "
            "connectionstring connection-string connection_string",
            _NAMED,
        ),
        # Options of commands.
        (
            "-pass -pwd -token -secret -key -auth -credential",
            rf"({_OPTION}{_SPACES}(?!-)){_VALUE}",
        ),
        ("sshpass", rf"(\bsshpass{_SPACES}-p[ \t]{{0,20}}){_VALUE}"),
        (
            "mysql mariadb mongo docker redis-cli sqlcmd ldap",
            rf"(\b(?:mysql|mariadb|mongo|docker{_SPACES}login|redis-cli|sqlcmd|ldap)[^\n|;&]{{0,80}}?\s-[paPw]\s?(?!-)){_VALUE}",
        ),
        ("curl wget", r"(\b(?:curl|wget)\b[^\n|;&]{0,80}?\s(?:-u|--user)[ =]{0,20}[^\s:]{1,60}:)[^\s\"']+"),
        (
            "password",
            r"(\bmachine\s{1,20}\S{1,100}\s{1,20}(?:login\s{1,20}\S{1,100}\s{1,20})?password\s{1,20})\S+",
        ),
        # Parameters of addresses.
        (
            "token= sig= signature= key= secret= password= pwd= auth= credential=",
            r"([?&;](?i:[\w.-]{0,40}?(?:token|sig|signature|key|secret|password|pwd|auth|credential))=)[^\s&#\"'<>]{6,}",
        ),
        # Keys that say by their beginning whose they are.
        ("qfa_ qfi_", r"\bqf[ai]_[A-Za-z0-9_.=-]{20,}"),
        ("gh github_pat", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b"),
        ("gl", r"\bgl(?:pat|rt|dt|cbt|ptt|ft|imt|agent|soat|oas|ffct|wt)-[A-Za-z0-9_.-]{16,}"),
        (
            "xox xapp hooks.slack",
            r"\bxox[abeposr](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}"
            r"|\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]+",
        ),
        ("akia asia", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        ("sk-", r"\bsk-[A-Za-z0-9_-]{20,}"),
        ("sk_ rk_ aiza", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|\bAIza[A-Za-z0-9_-]{30,}"),
        ("discord", r"\bdiscord(?:app)?\.com/api/(?:v\d{1,3}/)?webhooks/[0-9]+/[A-Za-z0-9_-]+"),
        (".", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,}"),
        (":aa", r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"),
        ("sg.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        ("sk", r"\bSK[0-9a-f]{32}\b"),
        ("key- dapi", r"\b(?:key-|dapi)[0-9a-f]{32}\b"),
        ("pypi-ag", r"\bpypi-Ag[A-Za-z0-9_-]{16,}"),
        (
            "npm_ hf_ _v1_ shp lin_api_ ntn_ glsa_ glc_ hvs. dckr_pat_ rubygems_ sntry nvapi- gsk_ xai- pplx- r8_ "
            "whsec_ gocspx- ya29. atatt3 age-secret-key-1 sq0 tskey- figd_ pmak- sbp_ nrak-",
            r"\b(?:npm_|hf_|do[oprt]_v1_|shp(?:at|ca|pa|ss)_|lin_api_|ntn_|glsa_|glc_|hvs\.|dckr_pat_|rubygems_|sntry[su]_"
            r"|nvapi-|gsk_|xai-|pplx-|r8_|whsec_|GOCSPX-|ya29\.|ATATT3|AGE-SECRET-KEY-1|sq0(?:atp|csp)-"
            r"|tskey-|figd_|PMAK-|sbp_|NRAK-)[A-Za-z0-9_=.+/-]{20,}",
        ),
        ("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    )
)
# Texts without a secret that were seen lately: names, files and lines of source are the same in most events.
_clean: set[str] = set()
MAX_CLEAN, MAX_CLEAN_LENGTH = 20_000, 200
# Nothing nests deeper in an honest context; a hostile one must not end in a RecursionError.
_DEEPEST = 20


# Options that stand before their value in a list, and what they may be called without their dashes.
_OPTION_ALONE = re.compile(_OPTION)
# Keys of an object that is a pair, as {"name": "DB_PASSWORD", "value": ...}.
_PAIR_NAMES = frozenset(("name", "key", "header", "field", "variable", "option", "k"))
_PAIR_VALUES = frozenset(("value", "values", "val", "content", "v"))
_COUNTED = re.compile(r"token|pass$", re.IGNORECASE)


@lru_cache(maxsize=10_000)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name[-200:]) is not None


def _is_secret(name: str, item: Any) -> bool:
    """Return whether what stands under the name is a secret: not nothing, not a truth, not a count."""
    if item is None or isinstance(item, bool) or item == "" or not _is_secret_name(name):
        return False
    return not (isinstance(item, int | float) and _COUNTED.search(name))


def _is_announced_by(before: Any, item: Any, *, paired: bool) -> bool:
    """Return whether the preceding item of a list marks `item` as a secret: an option, or the name in a pair."""
    if not isinstance(before, str) or len(before) > 200 or re.search(r"[\s=]", before):
        return False
    if _OPTION_ALONE.fullmatch(before):
        return isinstance(item, str)
    return (paired or before.startswith("-")) and _is_secret(before, item)


def _replacement(match: re.Match[str]) -> str:
    return "".join(filter(None, match.groups())) + REDACTED


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced by ``[redacted]``."""
    if text in _clean:
        return text
    lowered, redacted = text.lower(), text
    for keywords, pattern in _PATTERNS:
        # A loop: `any` with a generator takes three times as long, and this runs for each text of each event.
        for word in keywords:
            if word in lowered:
                redacted = pattern.sub(_replacement, redacted)
                break
    if redacted == text and len(text) <= MAX_CLEAN_LENGTH:
        if len(_clean) >= MAX_CLEAN:
            _clean.clear()
        _clean.add(text)
    return redacted


def cut(text: str, limit: int) -> str:
    """Return the first `limit` characters of a text; the end that is cut off leaves no part of a secret behind."""
    # A part of a secret would not be recognised as one later.
    return text if len(text) <= limit else redact_text(text[: limit + CUT_MARGIN])[:limit]


def redact(value: Any, _depth: int = 0) -> Any:
    """JSON data with secrets replaced: by the name of the key that holds them, or by what they look like."""
    if isinstance(value, str):
        return redact_text(value)
    if _depth >= _DEEPEST:
        return REDACTED if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        pairs = (item for name, item in value.items() if str(name).lower() in _PAIR_NAMES)
        named = next((item for item in pairs if isinstance(item, str) and _is_secret_name(item)), "")
        return {
            redact_text(str(name)): REDACTED
            if _is_secret(str(name), item) or (str(name).lower() in _PAIR_VALUES and _is_secret(named, item))
            else redact(item, _depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        paired = len(value) == 2
        return [
            REDACTED if _is_announced_by(before, item, paired=paired) else redact(item, _depth + 1)
            for before, item in zip((None, *value), value, strict=False)
        ]
    return value
