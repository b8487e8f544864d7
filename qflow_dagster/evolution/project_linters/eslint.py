"""Which rules the repository's configuration of eslint has on, as far as it is data.

Configurations that are code (`eslint.config.js`, `.eslintrc.js`) are not run, and those of other packages
(`extends`) are not there: what they say is not known.
"""

import fnmatch
from collections.abc import Iterator
from itertools import islice
from typing import Any

from qflow_dagster.evolution.project_linters.protocol import (
    Files,
    folders_of,
    names_of,
    table,
    texts,
    yaml,
)
from qflow_dagster.evolution.rules import Rule

NAMES = (".eslintrc.yaml", ".eslintrc.yml", ".eslintrc.json", ".eslintrc")
CODE = (
    "eslint.config.js",
    "eslint.config.mjs",
    "eslint.config.cjs",
    "eslint.config.ts",
    ".eslintrc.js",
    ".eslintrc.cjs",
)
_ENDINGS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte")
# Patterns that one with braces stands for.
MAX_EXPANDED = 50
_OFF = (0, "off", "0")


class EslintLinter:
    """The configurations by folder; a nearer one overrides those above it."""

    name = "eslint"

    def __init__(
        self, configurations: dict[str, dict[str, Any]], ignored: list[str], notes: list[str]
    ) -> None:
        self.notes = notes
        self._configurations, self._ignored = configurations, ignored

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether one of the rule's names is on; false if a configuration turns it off."""
        names = names_of(rule, "eslint")
        if not names or not path.endswith(_ENDINGS):
            return None
        levels: dict[str, bool] = {}
        for folder, configuration in self._above(path):
            inner = path.removeprefix(f"{folder}/") if folder else path
            blocks = [configuration]
            overrides = configuration.get("overrides")
            for block in overrides if isinstance(overrides, list) else ():
                if (
                    isinstance(block, dict)
                    and _any(block.get("files"), inner)
                    and not _any(block.get("excludedFiles"), inner)
                ):
                    blocks.append(block)
            for block in blocks:
                for name, level in table(block, "rules").items():
                    level = level[0] if isinstance(level, list) and level else level
                    levels[name] = level not in _OFF
        states = {levels[name] for name in names if name in levels}
        return None if not states else True in states

    def excludes(self, path: str) -> bool:
        """Return whether eslint leaves out that file."""
        if not path.endswith(_ENDINGS):
            return False
        patterns = list(self._ignored)
        for folder, configuration in self._above(path):
            prefix = f"{folder}/" if folder else ""
            patterns += [
                f"/{prefix}{pattern.lstrip('/')}" if prefix else pattern
                for pattern in texts(configuration.get("ignorePatterns"))
            ]
        ignored = False
        for pattern in patterns:
            if matches(pattern.removeprefix("!").rstrip("/"), path, inside=True):
                ignored = not pattern.startswith("!")
        return ignored

    def _above(self, path: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the configurations for a file with their folders, the nearest last."""
        found: list[tuple[str, dict[str, Any]]] = []
        for folder in folders_of(path):
            if folder in self._configurations:
                found.insert(0, (folder, self._configurations[folder]))
                if self._configurations[folder].get("root") is True:
                    break
        return found


def read_eslint(files: Files) -> EslintLinter | None:
    """Return eslint as the repository configures it in data; None if it does not.

    Raises:
        UnreadableError: A configuration cannot be read.
    """
    configurations: dict[str, dict[str, Any]] = {}
    for path, text in sorted(files.items()):
        folder, _, name = path.rpartition("/")
        if name in NAMES:
            configurations[folder] = yaml(path, text)
        elif name == "package.json" and '"eslintConfig"' in text and folder not in configurations:
            configurations[folder] = table(yaml(path, text), "eslintConfig")
    lines = [line.strip() for line in files.get(".eslintignore", "").splitlines()]
    ignored = [line for line in lines if line and not line.startswith("#")]
    notes = [
        f"eslint extends {name}, which is not read"
        for name in sorted(
            {name for found in configurations.values() for name in texts(found.get("extends"))}
        )
    ]
    return EslintLinter(configurations, ignored, notes) if configurations else None


def matches(pattern: str, path: str, *, inside: bool = False) -> bool:
    """Return whether a pattern of paths matches; one without a slash matches at any depth.

    With `inside`, a pattern that matches a folder matches what is in it.
    """
    anchored = "/" in pattern.removeprefix("**/")
    for part in islice(_expanded(pattern.removeprefix("./")), MAX_EXPANDED):
        # `**/` is any number of folders, also none.
        expression = f"/{part.lstrip('/')}" if anchored else f"*/{part.removeprefix('**/')}"
        expression = expression.replace("/**/", "/*").replace("**", "*")
        if fnmatch.fnmatchcase(f"/{path}", expression) or (
            inside and fnmatch.fnmatchcase(f"/{path}", f"{expression}/*")
        ):
            return True
    return False


def _expanded(pattern: str) -> Iterator[str]:
    """Yield what a pattern with braces, such as `*.{js,ts}`, stands for."""
    before, opened, rest = pattern.partition("{")
    inner, closed, after = rest.partition("}")
    if not (opened and closed):
        yield pattern
        return
    for choice in inner.split(","):
        yield from _expanded(f"{before}{choice}{after}")


def _any(patterns: Any, path: str) -> bool:
    return any(
        matches(pattern, path)
        for pattern in ([patterns] if isinstance(patterns, str) else patterns or ())
        if isinstance(pattern, str)
    )
