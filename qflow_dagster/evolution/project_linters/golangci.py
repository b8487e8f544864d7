"""Which linters of golangci-lint the repository has on, and which checks of them."""

from typing import Any

from qflow_dagster.evolution.project_linters.protocol import Files, table, texts, toml, yaml
from qflow_dagster.evolution.rules import Rule

NAMES = (".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json")
_STANDARD = {"errcheck", "gosimple", "govet", "ineffassign", "staticcheck", "unused"}
# Parts of staticcheck that had names of their own, by the beginnings of their checks.
_PARTS = {"S1": "gosimple", "ST1": "stylecheck", "QF": "staticcheck", "SA": "staticcheck"}


class GolangciLinter:
    """The linters that are on and off, and the checks of staticcheck that are left out."""

    name = "golangci-lint"

    def __init__(
        self, on: set[str], off: set[str], checks: list[str], everything: bool, notes: list[str]
    ) -> None:
        self.notes = notes
        self._on, self._off, self._checks, self._everything = on, off, checks, everything

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether a linter that has the rule is on; false if it, or the check, is switched off."""
        if not path.endswith(".go"):
            return None
        states = [self._state(tool, name) for tool, names in rule.peers.items() for name in names or ("",)]
        return True if True in states else (False if False in states else None)

    def excludes(self, path: str) -> bool:
        """Return false: its exclusions are regular expressions of the repository, which are not run."""
        return False

    def _state(self, tool: str, name: str) -> bool | None:
        linters = {tool}
        if tool == "staticcheck":
            # Newer versions have all parts under its own name.
            linters |= {part for beginning, part in _PARTS.items() if name.startswith(beginning)}
            if f"-{name}" in self._checks or (
                self._checks and self._checks[0] == "none" and name not in self._checks
            ):
                return False
        if linters & self._off:
            return False
        if linters & self._on or self._everything:
            return True
        return None


def read_golangci(files: Files) -> GolangciLinter | None:
    """Return golangci-lint as the repository configures it; None if it does not.

    Raises:
        UnreadableError: The configuration cannot be read.
    """
    for name in NAMES:
        if name in files:
            content = toml(name, files[name]) if name.endswith(".toml") else yaml(name, files[name])
            return _read(content)
    return None


def _read(content: dict[str, Any]) -> GolangciLinter:
    linters = table(content, "linters")
    default = linters.get("default", "standard")
    nothing = linters.get("disable-all") is True or default == "none"
    on = set(texts(linters.get("enable"))) | (set() if nothing else _STANDARD)
    off = set(texts(linters.get("disable")))
    checks: list[str] = []
    for settings in (table(content, "linters-settings"), table(linters, "settings")):
        for tool in ("staticcheck", "gosimple", "stylecheck"):
            checks += texts(table(settings, tool).get("checks"))
    excluded = table(content, "issues").keys() | table(linters, "exclusions").keys()
    notes = [
        f"{name} of golangci-lint are regular expressions, which are not run"
        for name in sorted(
            excluded & {"exclude", "exclude-rules", "exclude-dirs", "exclude-files", "rules", "paths"}
        )
    ]
    everything = linters.get("enable-all") is True or default == "all"
    return GolangciLinter(on - off, off, checks, everything, notes)
