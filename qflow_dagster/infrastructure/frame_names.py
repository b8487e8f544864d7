"""Names in frames without the parts that vary between builds, installations and runs.

As Sentry's documentation of grouping describes it (https://docs.sentry.io/concepts/data-management/event-grouping/).
Pure functions. Does not belong here: reading stack traces (`stacks`), which frames count (`frame_kinds`).
"""

import re
from functools import lru_cache
from typing import Any

from qflow_dagster.infrastructure.stacks import MAX_LINE_LENGTH, Frame

NATIVE = frozenset({"native", "objc", "cocoa", "swift", "c"})
JAVASCRIPT = frozenset({"javascript", "node"})
JVM = frozenset({"java"})
# Platforms whose lines of source are the ones that ran.
WITH_SOURCE = JAVASCRIPT | {"python", "php", "ruby"}
_URL = ("http:", "https:", "applewebdata:", "blob:")
# A longer line is minified.
MAX_SOURCE = 120

_GENERATED_CLASS = (
    (re.compile(r"^((?:sun|jdk\.internal)\.reflect\.Generated[A-Za-z]{0,40}Accessor)\d+"), r"\1"),
    (
        re.compile(
            r"(\$\$?(?:EnhancerBy|FastClassBy|HibernateProxy|[A-Za-z]{0,40}CGLIB)[A-Za-z]{0,60}\$\$?)\w+"
        ),
        r"\1",
    ),
    (re.compile(r"(\$\$_javassist)(?:_seam)?(?:_\d+)?"), r"\1"),
    (re.compile(r"(\$fn__)\d+"), r"\1"),
    (re.compile(r"\$\$Lambda[$/\dxa-f]*"), "$$Lambda"),
    # Of Android's compiler.
    (re.compile(r"(\$\$ExternalSynthetic[A-Za-z]{1,40})\d+"), r"\1"),
)
# Names that compilers and runtimes number anew in each build or run.
_GENERATED = (
    (re.compile(r"::h[0-9a-f]{16}$"), ""),
    (re.compile(r"\$\$Lambda(?:\$\d+)?(?:/0x[0-9a-f]+|/\d+)?"), "$$Lambda"),
    (re.compile(r"lambda\$(\w{1,100})\$\d+"), r"lambda$\1"),
    (re.compile(r"(Generated[A-Za-z]{0,40}Accessor)\d+"), r"\1"),
    (re.compile(r"(\$\$(?:EnhancerBy|FastClassBy)[A-Za-z]{0,60}\$\$)[0-9a-f]+"), r"\1"),
    (re.compile(r"_{2,3}\d+_\d+$"), ""),
    (re.compile(r"^block (?:\(\d+ levels\) )?in .*"), "block"),
    (re.compile(r"^class@anonymous.*::"), ""),
    (re.compile(r"@anonymous.*"), "@anonymous"),
    (re.compile(r"^\[Anonymous.*"), ""),
)
# The same of one platform only, in functions and modules.
_GENERATED_OF = {
    "java": ((re.compile(r"^\$r8\$lambda\$.*"), ""),),
    # <Pay>d__12, <>c__DisplayClass5_0, <Pay>b__5_0, <Pay>g__inner|5_0
    "csharp": ((re.compile(r"(>[a-z]__(?:DisplayClass|\w{1,100}\|)?)\d+(?:_\d+)?"), r"\1"),),
    # "-pay/2-fun-0-"/1
    "elixir": ((re.compile(r"(-fun-)\d+(?=-)"), r"\1"),),
    # Types of generics: Map[...], Map[go.shape.int]
    "go": ((re.compile(r"\[[^\[\]]{0,500}\]"), ""),),
    # Since Ruby 3.4 a method is named with its class.
    "ruby": ((re.compile(r"^(?:[A-Z]\w{0,100}+::){0,20}[A-Z]\w{0,100}+[.#](?=\S)"), ""),),
}
_UNNAMED = frozenset(
    {
        "",
        "?",
        "<anonymous>",
        "anonymous",
        "<anonymous function>",
        "Anonymous function",
        "<redacted>",
        "<unknown>",
    }
)
_LAMBDA = re.compile(r"\{lambda\([^{}]{0,500}\)#\d+\}|\blambda_[a-f0-9]{32}\b|\$_\d+\b")
_SYMBOL_VERSION = re.compile(r"@@?GLIBC_[\d.]+$|@\d+$|^@(?=.*@\d+$)")
_OPERATORS = (
    ("operator<<", "operator\1\1"),
    ("operator<", "operator\1"),
    ("operator->", "operator-\2"),
    ("operator()", "operator\3"),
)
_FILE_HASH = re.compile(r"[.-][0-9a-f]{7,40}(?=\.)")
# Mono names the build of a library that has no debug information.
_BUILD_ID = re.compile(r"^<[0-9a-f]{32}>")
# Code that PHP evaluates, with the line that does so.
_EVALUATED = re.compile(r"\(\d{1,9}\) : eval\(\)'d code")
# Folders of releases: numbers, dates, hashes.
_RELEASE = re.compile(r"^(?:v?\d[\d.\-_]*|[0-9a-f]{7,40}|(?=.*\d{4}).+)$")


@lru_cache(maxsize=20_000)
def place_of(frame: Frame) -> tuple[str, ...]:
    """Return what identifies a frame: its module or file, function and line of source, each '' if it says nothing."""
    source = " ".join(frame.source.split())
    if frame.platform not in WITH_SOURCE or len(frame.source) > MAX_SOURCE:
        source = ""
    function = clean_function(frame.function, frame.platform)
    from_url = frame.platform in JAVASCRIPT and frame.path.startswith(_URL)
    from_disk = frame.platform in JAVASCRIPT and frame.path.startswith("file:")
    if from_url and not function:
        source = ""
    if frame.mapped and source:
        function = ""
    module = _clean_module(frame)
    file = "" if module or frame.path.startswith(_URL) else clean_file(frame)
    if from_disk:
        # Of a page that a browser opened from a disk, the folder says where a person keeps it.
        file = file.rpartition("/")[2]
    return (module or file, function, source)


@lru_cache(maxsize=20_000)
def clean_function(function: str, platform: str = "") -> str:
    """Return the name of a function without parts that differ between builds, runs and runtimes."""
    function = function[:MAX_LINE_LENGTH].replace("`anonymous namespace'", "(anonymous namespace)")
    for pattern, replacement in _GENERATED:
        function = pattern.sub(replacement, function)
    for pattern, replacement in _GENERATED_OF.get(platform, ()):
        function = pattern.sub(replacement, function)
    if platform in NATIVE:
        function = native_name(function)
    elif platform in JAVASCRIPT:
        function = function.removeprefix("async ").removeprefix("new ").rpartition(".")[2]
        if function.endswith("/<"):
            return ""
    elif platform in JVM and function.startswith("lambda$"):
        return ""
    function = function.strip()
    return "" if function in _UNNAMED else function


def native_name(function: str) -> str:
    """Return the name in a demangled signature: without results, arguments, types of templates, and suffixes."""
    if function.startswith(("[", "+[", "-[")):
        return function
    for operator, stand_in in _OPERATORS:
        function = function.replace(operator, stand_in)
    function = (
        _LAMBDA.sub("lambda", function)
        .replace("(anonymous namespace)", "\4")
        .replace("`anonymous namespace'", "\4")
    )
    function = re.sub(r"\?A0x[a-f0-9]{8}(?=::)", "\4", function)
    name: list[str] = []
    depth: list[str] = []
    words = [""]
    for character in function:
        if depth and character == depth[-1]:
            depth.pop()
            continue
        if character in "(<[{":
            if not depth:
                # `<A as B>::f` of Rust begins with a type.
                words[-1] += {"<": "<T>" if words[-1] else "<"}.get(character, "")
                name = [words[-1]] if words[-1] == "<" else name
            depth.append({"(": ")", "<": ">", "[": "]", "{": "}"}[character])
        elif not depth:
            if character.isspace():
                words.append("")
            else:
                words[-1] += character
    said = [word for word in words if word and word not in ("const", "&", "noexcept", "volatile")]
    if "->" in said and said.index("->"):
        said = said[: said.index("->")]
    cleaned = said[-1] if said else function
    if cleaned.startswith("<") and function.startswith("<"):
        type_ = function[1:].partition(" as ")[0].partition(">")[0]
        cleaned = type_ + cleaned[1:]
    cleaned = _SYMBOL_VERSION.sub("", cleaned)
    return cleaned.replace("\1", "<").replace("-\2", "->").replace("\3", "()").replace("\4", "(anonymous)")


def clean_file(frame: Frame) -> str:
    """Return the last two parts of a path, without hashes and folders of releases; of an SDK's frame the last part."""
    file = (frame.file or "").partition("?")[0]
    parts = [part for part in re.split(r"[/\\]", file) if part]
    if not parts or parts[-1] in ("<anonymous>", "[native code]") or _BUILD_ID.match(parts[-1]):
        return ""
    name = _EVALUATED.sub(" : eval", _FILE_HASH.sub("", parts[-1]))
    folder = parts[-2] if len(parts) > 1 and not _RELEASE.match(parts[-2]) else ""
    return f"{folder}/{name}".removeprefix("/").lower()


def _clean_module(frame: Frame) -> str:
    module = frame.module
    if frame.platform in JVM:
        for pattern, replacement in _GENERATED_CLASS:
            module = pattern.sub(replacement, module)
        return "" if "$$Lambda" in module else module
    if frame.platform in JAVASCRIPT and "/" in module and frame.path.endswith(module):
        return ""
    for pattern, replacement in _GENERATED_OF.get(frame.platform, ()):
        module = pattern.sub(replacement, module)
    return module


def shown_frame(frame: Frame) -> dict[str, Any]:
    """Return file, line and function of a call, as they are shown and looked up in repositories."""
    # The path finds the file in a repository; in the JVM only the module names its folder.
    function = (
        f"{frame.module}.{frame.function}" if frame.platform in JVM and frame.module else frame.function
    )
    return {"file": frame.path or frame.file or frame.package, "line": frame.line, "function": function}
