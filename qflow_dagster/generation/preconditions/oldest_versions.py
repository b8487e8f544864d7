"""The oldest versions that code must run on, as the nearest manifest names them: of Node.js, Go, Rust and ECMAScript.

The argument of each precondition is the version that first has what the fix writes. A project that names none is
taken to run on it. Python has targets of its own (`evolution.python_targets`); no fix of Java writes what Java 8 lacks.
"""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.ingestion.module_manifests import join_path, lenient_json

Version = tuple[int, int]
# By folder, the versions that its manifests name: of `node`, `go`, `rust`; the editions of `typescript`, `browsers`.
Versions = Mapping[str, Mapping[str, Version]]
MANIFESTS = ("package.json", ".browserslistrc", "tsconfig.json", "go.mod", "Cargo.toml")
# What a fix needs is asked of these.
_KINDS = {"node": ("node",), "go": ("go",), "rust": ("rust",), "ecmascript": ("typescript", "browsers")}
NAMES = frozenset(_KINDS)
_TITLES = {"node": "Node.js", "go": "Go", "rust": "Rust", "typescript": "TypeScript for ECMAScript"}
_TITLES["browsers"] = "browsers with ECMAScript"
_COMPARATOR = re.compile(r"(?:(>=|<=|<|>|\^|~|=)\s{0,9})?v?(\d{1,9})(?:\.(\d{1,9}))?[\w.+*-]*")
# The first edition without Number.isNaN; and the versions of browsers with what fixes write of an edition.
_ANY = 2009
_EDITIONS: dict[int, dict[str, float]] = {
    2022: {
        **{"chrome": 92, "edge": 92, "firefox": 90, "safari": 15.4, "ios": 15.4},
        **{"opera": 78, "samsung": 16, "node": 16.6},
    },
    2016: {
        "chrome": 47,
        "edge": 14,
        "firefox": 43,
        "safari": 9,
        "ios": 9,
        "opera": 34,
        "samsung": 5,
        "node": 6,
    },
    2015: {
        "chrome": 25,
        "edge": 12,
        "firefox": 16,
        "safari": 9,
        "ios": 9,
        "opera": 15,
        "samsung": 4,
        "node": 0.12,
    },
}
_ALIASES = {
    "ff": "firefox",
    "ios_saf": "ios",
    "and_chr": "chrome",
    "chromeandroid": "chrome",
    "and_ff": "firefox",
}
_ALIASES |= {"firefoxandroid": "firefox", "explorer": "ie"}
_BROWSER = re.compile(r"(\w+)\s*(?:>=?\s*)?(\d{1,4}(?:\.\d{1,3})?)(?:-[\d.]+)?$")
# Such names of shares and ages are no versions; what they name today has the editions up to this one.
_BY_SHARE = 2016


def versions_in(manifests: Mapping[str, bytes]) -> Versions:
    """Return the versions that manifests name (content by path), by folder."""
    found: dict[str, dict[str, Version]] = {}
    readers: dict[str, Callable[[str, bytes], Mapping[str, Version | None]]] = {
        "package.json": lambda path, data: _of_package(data),
        ".browserslistrc": lambda path, data: {
            "browsers": oldest_edition(_queries(data.decode(errors="replace")))
        },
        "tsconfig.json": lambda path, data: {"typescript": _of_tsconfig(path, manifests)},
        "go.mod": lambda path, data: {"go": _of_go(data)},
        "Cargo.toml": lambda path, data: {"rust": _of_cargo(data)},
    }
    for path, data in manifests.items():
        folder, name = posixpath.split(path)
        try:
            stated = readers[name](path, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        named = {kind: version for kind, version in stated.items() if version is not None}
        found.setdefault(folder, {}).update(named)
    return found


def of_path(path: str, versions: Versions) -> Mapping[str, Version]:
    """Return the versions for a file: of each kind, those of the nearest folder that names one."""
    folders, folder = [""], posixpath.dirname(path)
    while folder:
        folders.insert(1, folder)
        folder = posixpath.dirname(folder)
    merged: dict[str, Version] = {}
    for nearer in folders:
        merged |= versions.get(nearer, {})
    return merged


def _of_package(data: bytes) -> dict[str, Version | None]:
    package = json.loads(data)
    engines = package.get("engines")
    node = engines.get("node") if isinstance(engines, dict) else None
    bounds = [_lower_bound(part) for part in node[:200].split("||")] if isinstance(node, str) else []
    queries = package.get("browserslist")
    return {
        "node": min((bound for bound in bounds if bound is not None), default=None),
        "browsers": None if queries is None else oldest_edition(_listed(queries)),
    }


def _lower_bound(comparators: str) -> Version | None:
    """Return the lowest version of comparators that all hold, or of a range such as 4 - 6; None: any version."""
    found = _COMPARATOR.findall(comparators)
    lower = [(int(major), int(minor or 0)) for operator, major, minor in found if operator not in ("<", "<=")]
    if not found:
        return None
    return (min if " - " in comparators else max)(lower, default=(0, 0))


def _listed(queries: Any) -> list[str]:
    if isinstance(queries, dict):
        return [query for nested in queries.values() for query in _listed(nested)]
    return [queries] if isinstance(queries, str) else [query for query in queries if isinstance(query, str)]


def _queries(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("[")]


def oldest_edition(queries: Iterable[str]) -> Version | None:
    """Return the newest edition that all browsers of queries of browserslist have; None: they name none."""
    atoms = [atom.strip().lower() for query in queries for atom in re.split(r",|\bor\b|\band\b", query[:500])]
    named = [atom for atom in atoms if atom and not atom.startswith("not ")]
    return (min(map(_edition_of, named)), 0) if named else None


def _edition_of(atom: str) -> int:
    match = _BROWSER.match(atom)
    name = _ALIASES.get(match[1], match[1]) if match else ""
    if match is None or name not in _EDITIONS[_BY_SHARE]:
        old = re.match(r"(ie|explorer|op_mini|ie_mob|dead|bb)\b", atom)
        newest = re.match(
            r"(last \d major |last [1-3] \w+ version|maintained node|current node|supports )", atom
        )
        return _ANY if old else 2022 if newest else _BY_SHARE
    version = float(match[2])
    return next((edition for edition, since in _EDITIONS.items() if version >= since[name]), _ANY)


def _of_tsconfig(path: str, manifests: Mapping[str, bytes]) -> Version | None:
    """Return the edition whose library a tsconfig.json has, its own or that of those it extends."""
    for _ in range(5):
        configuration = lenient_json(manifests[path])
        options = configuration.get("compilerOptions", {})
        stated = options.get("lib") or ([options["target"]] if "target" in options else [])
        if stated:
            editions = [edition for name in stated if (edition := _edition_named(str(name))) is not None]
            return (max(editions), 0) if editions else None
        path = join_path(posixpath.dirname(path), str(configuration.get("extends")))
    return None


def _edition_named(name: str) -> int | None:
    """Return the edition of a whole library (es2017, es6, esnext); None: it is a part of one, or of the browser."""
    match = re.fullmatch(r"es(next|\d{1,4})", name.lower())
    if match is None:
        return None
    if match[1] == "next":
        return 9999
    number = int(match[1])
    return number if number > 2000 else _ANY if number < 6 else 2009 + number


def _of_go(data: bytes) -> Version | None:
    match = re.search(rb"^go\s+(\d{1,4})\.(\d{1,4})", data, re.MULTILINE)
    return (int(match[1]), int(match[2])) if match else None


def _of_cargo(data: bytes) -> Version | None:
    manifest = tomllib.loads(data.decode(errors="replace"))
    package = manifest.get("package") or manifest.get("workspace", {}).get("package", {})
    match = re.match(r"(\d{1,4})\.(\d{1,4})", str(package.get("rust-version", "")))
    return (int(match[1]), int(match[2])) if match else None


def _has(kind: str) -> Callable[[File, Match, object], str | None]:
    def has(file: File, match: Match, version: object) -> str | None:
        """Check that the oldest version that the project supports has what the fix writes."""
        major, _, minor = str(version).partition(".")
        for name in _KINDS[kind]:
            oldest = file.surroundings.versions.get(name)
            if oldest is None or oldest >= (int(major), int(minor or 0)):
                continue
            if name == "typescript" and file.language not in ("typescript", "tsx"):
                continue
            shown = str(oldest[0]) if kind == "ecmascript" else f"{oldest[0]}.{oldest[1]}"
            return f"the project supports {_TITLES[name]} {shown}, and what the fix writes needs {version}"
        return None

    return has


PRECONDITIONS = {
    "node": Precondition("the oldest Node.js of the project has what the fix writes", _has("node")),
    "ecmascript": Precondition(
        "the library of tsconfig.json and the browsers of the project have what the fix writes",
        _has("ecmascript"),
    ),
    "go": Precondition("the version in go.mod has what the fix writes", _has("go")),
    "rust": Precondition("the rust-version of the crate has what the fix writes", _has("rust")),
}
