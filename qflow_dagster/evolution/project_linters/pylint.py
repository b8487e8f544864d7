"""Which messages the repository's configuration of pylint disables."""

import fnmatch
import re
from collections.abc import Iterator

from qflow_dagster.evolution.project_linters.protocol import Files, ini, names_of, table, texts, toml
from qflow_dagster.evolution.rules import Rule

_CODE = re.compile(r"[A-Z]\d{4}")


class PylintLinter:
    """The messages that are disabled; all others are on, as pylint has it."""

    name = "pylint"

    def __init__(self, disabled: set[str], enabled: set[str], ignored: list[str], notes: list[str]) -> None:
        self.notes = notes
        self._disabled, self._enabled, self._ignored = disabled, enabled, ignored

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether the messages of a rule are on; false if one of them is disabled."""
        names = set(names_of(rule, "pylint"))
        if not names or not path.endswith(".py"):
            return None
        if not names.isdisjoint(self._enabled):
            return True
        # A letter stands for all messages of a category.
        categories = {name[0] for name in names if _CODE.fullmatch(name)}
        return not (names | categories | {"all"}) & self._disabled

    def excludes(self, path: str) -> bool:
        """Return whether pylint leaves out that file: names of files and folders that it ignores."""
        return path.endswith(".py") and any(
            fnmatch.fnmatchcase(part, pattern) for part in path.split("/") for pattern in self._ignored
        )


def read_pylint(files: Files) -> PylintLinter | None:
    """Return pylint as the repository configures it; None if it does not.

    Raises:
        UnreadableError: The configuration cannot be read.
    """
    for options in _candidates(files):
        if options:
            option = {name.replace("_", "-"): texts(value) for name, value in options.items()}
            notes = [
                f"{name} of pylint is a regular expression, which is not run"
                for name in ("ignore-paths", "ignore-patterns")
                if name in option
            ]
            return PylintLinter(
                set(option.get("disable", ())), set(option.get("enable", ())), option.get("ignore", []), notes
            )
    return None


def _candidates(files: Files) -> Iterator[dict[str, object]]:
    """Yield the options of each file that pylint looks into, in its order; empty if it has none."""
    for name in ("pylintrc", ".pylintrc"):
        if name in files:
            parser = ini(name, files[name])
            yield {
                "present": "",
                **{key: value for section in parser.sections() for key, value in parser[section].items()},
            }
    if "pylint" in files.get("pyproject.toml", ""):
        sections = table(toml("pyproject.toml", files["pyproject.toml"]), "tool", "pylint")
        flat = {key: value for key, value in sections.items() if not isinstance(value, dict)}
        yield flat | {
            key: value
            for section in sections.values()
            if isinstance(section, dict)
            for key, value in section.items()
        }
    for name in ("setup.cfg", "tox.ini"):
        if "[pylint" in files.get(name, ""):
            parser = ini(name, files[name])
            sections_of_pylint = [section for section in parser.sections() if section.startswith("pylint")]
            yield {key: value for section in sections_of_pylint for key, value in parser[section].items()}
