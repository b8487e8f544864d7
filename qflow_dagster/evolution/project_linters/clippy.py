"""Which lints of clippy the repository allows: `lints` in its Cargo.toml files, attributes of whole crates."""

import re
from typing import Any

from qflow_dagster.evolution.project_linters.protocol import Files, folders_of, names_of, table, toml
from qflow_dagster.evolution.rules import Rule

# Lints that clippy itself leaves off, among those that rules of ours name.
_OFF_BY_DEFAULT = {"dbg_macro", "mem_forget", "redundant_clone", "todo", "unimplemented"}
CRATE_ROOTS = ("src/lib.rs", "src/main.rs")
_ATTRIBUTE = re.compile(r"^#!\[(allow|warn|deny|forbid)\(([^()\n]*(?:\n[^()\n]*){0,50})\)\]", re.MULTILINE)
_GROUPS = {
    "all",
    "style",
    "complexity",
    "perf",
    "correctness",
    "suspicious",
    "pedantic",
    "nursery",
    "restriction",
}


class ClippyLinter:
    """The levels of lints, by the folder of their crate."""

    name = "clippy"
    notes = ()

    def __init__(self, levels: dict[str, dict[str, bool]]) -> None:
        self._levels = levels

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether one of the rule's lints is on; false if the crate allows it."""
        names = names_of(rule, "clippy")
        if not names or not path.endswith(".rs"):
            return None
        for folder in folders_of(path):
            if folder in self._levels:
                levels = self._levels[folder]
                default = levels.get("all", True)
                states = {levels.get(name, default and name not in _OFF_BY_DEFAULT) for name in names}
                stated = default is False or any(name in levels for name in names)
                return True if True in states else (False if stated else None)
        return None

    def excludes(self, path: str) -> bool:
        """Return false: clippy leaves no file of a crate out."""
        return False


def read_clippy(files: Files) -> ClippyLinter | None:
    """Return clippy as the repository configures it; None if nothing speaks of clippy.

    Raises:
        UnreadableError: A Cargo.toml is not valid.
    """
    levels: dict[str, dict[str, bool]] = {}
    spoken_of = any(path.rpartition("/")[2] in ("clippy.toml", ".clippy.toml") for path in files)
    manifests = {
        path.rpartition("/")[0]: toml(path, text)
        for path, text in files.items()
        if path.rpartition("/")[2] == "Cargo.toml"
    }
    for folder, manifest in sorted(manifests.items()):
        own = table(manifest, "lints")
        if own.get("workspace") is True:
            above = [
                manifests[parent]
                for parent in folders_of(f"{folder}/x")
                if "workspace" in manifests.get(parent, {})
            ]
            own = table(above[0], "workspace", "lints") if above else {}
        lints = {name: _is_on(level) for name, level in table(own, "clippy").items()}
        for root in CRATE_ROOTS:
            for kind, names in _ATTRIBUTE.findall(files.get(f"{folder}/{root}".lstrip("/"), "")):
                lints |= dict.fromkeys(re.findall(r"clippy::(\w+)", names), kind != "allow")
        # Of groups, only all of them matters here.
        levels[folder] = {name: on for name, on in lints.items() if name == "all" or name not in _GROUPS}
        spoken_of = spoken_of or bool(lints)
    return ClippyLinter(levels) if spoken_of else None


def _is_on(level: Any) -> bool:
    return (level.get("level") if isinstance(level, dict) else level) != "allow"
