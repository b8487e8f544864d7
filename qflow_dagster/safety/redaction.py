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

# Names whose value is a secret, whatever it looks like.
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)?$|pwd$|secret|token|api[-_]?key|(private|access|account|signing|encryption)[-_]?key"
    r"|credential|authorization|^auth$|[-_]auth$|cookie|session[-_]?id|csrf|^dsn$|connection[-_]?string|signature$",
    re.IGNORECASE,
)
# The shell's folders, which end as a short word for a password does.
_FOLDERS = ("PWD", "OLDPWD")

# What a secret's name is in text, its end; what comes before (DB_PASSWORD) is no part of the pattern:
# that would make it quadratic. A number after `tokens` counts them.
_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|(?<=[_-])(?:pass|auth)|(?<![a-z])pwd(?=[\"']?\s{0,20}[=:]\s{0,20}[^/~\s])|secret"
    r"|token(?!s?[\"']?\s{0,20}[=:]\s{0,20}[\"']?\d{1,9}(?![\w.-]))|authorization|credential"
    r"|(?:api|access|private|account|signing|encryption)[-_ ]?key)s?"
)
# A value: in quotes whatever is in them, escaped quotes too; else up to what ends a word.
_VALUE = (
    r"(?:(\\[\"'])(?:[^\"'\\\n]|\\[^\"']){3,}+|(\")(?:[^\"\\\n]|\\.){3,}+|(')(?:[^'\\\n]|\\.){3,}+"
    r"|(?!\[redacted\]|(?:null|none|true|false|undefined)\b)[^\s\"',;&}<>]{3,})"
)
_SPACES = r"[ \t]{1,20}"

# Each pattern, with words (in small letters) without one of which it cannot fit: most text has none
# of them, and looking for words is ten times as fast. Its groups stay: they say what was there.
_PATTERNS = tuple(
    (words.split(), re.compile(pattern))
    for words, pattern in (
        (
            "-----begin",
            r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ),
        # user:password@ in an address, or a key alone before the @.
        ("://", r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s:/@]*:)[^\s/@]+(?=@)"),
        ("://", r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[A-Za-z0-9_.~-]{16,}(?=@)"),
        # Headers: what follows the scheme has a digit, a sign or mixed letters, which words have not.
        (
            "bearer basic token",
            r"((?i:\b(?:bearer|basic|token)\s{1,20}))(?=\S*?(?:[0-9=+/]|[a-z][A-Z]))[A-Za-z0-9._~+/=-]{8,}",
        ),
        ("digest", r"((?i:\bdigest\s{1,20}))(?=\w{1,20}=)[^\r\n]+"),
        (
            "cookie",
            r"((?i:\b(?:set-)?cookies?[\"']?\s{0,20}[=:]\s{0,20}))"
            r"(?:(\")(?:[^\"\\\n]|\\.)++|(?!\[redacted\])[^\s\"][^\r\n\"]*)",
        ),
        # name=value, name: value, "name": "value", name => value.
        (
            "pass pwd secret token key authorization credential auth",
            rf"((?i:{_NAME})\\?[\"']?\s{{0,20}}(?:=>|[=:])\s{{0,20}}){_VALUE}",
        ),
        # Options of commands.
        (
            "-pass -pwd -token -secret -key -auth -credential",
            r"((?i:(?<![\w-])--?(?:[a-z]{1,20}-){0,3}(?:pass(?:word|wd|phrase)?|pwd|token|secret|key|auth|credentials))"
            rf"{_SPACES}(?!-)){_VALUE}",
        ),
        ("sshpass", rf"(\bsshpass{_SPACES}-p[ \t]{{0,20}}){_VALUE}"),
        (
            "mysql mariadb mongo docker redis-cli sqlcmd ldap",
            rf"(\b(?:mysql|mariadb|mongo|docker{_SPACES}login|redis-cli|sqlcmd|ldap)[^\n|;&]{{0,80}}?\s-[paPw]\s?(?!-)){_VALUE}",
        ),
        ("curl wget", r"(\b(?:curl|wget)\b[^\n|;&]{0,80}?\s(?:-u|--user)[ =]{0,20}[^\s:]{1,60}:)[^\s\"']+"),
        ("password", r"(\bmachine\s{1,20}\S{1,100}\s{1,20}(?:login\s{1,20}\S{1,100}\s{1,20})?password\s{1,20})\S+"),
        # Parameters of addresses.
        ("token= sig= signature= key= secret= password= pwd= auth= credential=",
         r"([?&;](?i:[\w.-]{0,40}?(?:token|sig|signature|key|secret|password|pwd|auth|credential))=)(?!\[redacted\])[^\s&#\"'<>]{6,}"),
        # Keys that say by their beginning whose they are.
        ("qfa_", r"\bqfa_[A-Za-z0-9_-]{20,}"),
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
            "whsec_ gocspx- ya29. atatt3 age-secret-key-1 sq0",
            r"\b(?:npm_|hf_|do[oprt]_v1_|shp(?:at|ca|pa|ss)_|lin_api_|ntn_|glsa_|glc_|hvs\.|dckr_pat_|rubygems_|sntry[su]_"
            r"|nvapi-|gsk_|xai-|pplx-|r8_|whsec_|GOCSPX-|ya29\.|ATATT3|AGE-SECRET-KEY-1|sq0(?:atp|csp)-)[A-Za-z0-9_=.+/-]{20,}",
        ),
        ("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    )
)  # fmt: skip
_WORDS = tuple({word for words, _ in _PATTERNS for word in words})
# Nothing nests deeper in an honest context; a hostile one must not end in a RecursionError.
_DEEPEST = 20


@lru_cache(maxsize=10_000)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name[:200]) is not None and name not in _FOLDERS


def _is_secret(name: str, item: Any) -> bool:
    """Whether what stands under the name is a secret: not nothing, not a truth, not a count of tokens."""
    if item is None or isinstance(item, bool) or item == "" or not _is_secret_name(name):
        return False
    return not (isinstance(item, int | float) and "token" in name.lower())


def _replacement(match: re.Match[str]) -> str:
    return "".join(filter(None, match.groups())) + REDACTED


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced by ``[redacted]``."""
    lowered = text.lower()
    for word in _WORDS:
        if word in lowered:
            break
    else:
        return text
    for words, pattern in _PATTERNS:
        if any(word in lowered for word in words):
            text = pattern.sub(_replacement, text)
    return text


def redact(value: Any, _depth: int = 0) -> Any:
    """JSON data with secrets replaced: by the name of the key that holds them, or by what they look like."""
    if isinstance(value, str):
        return redact_text(value)
    if _depth >= _DEEPEST:
        return REDACTED if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): REDACTED if _is_secret(str(name), item) else redact(item, _depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, _depth + 1) for item in value]
    return value
