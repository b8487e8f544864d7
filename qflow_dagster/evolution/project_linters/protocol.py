"""The result of reading a linter's configuration, and what all readers need."""

import tomllib
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import PurePosixPath
from typing import Any, Protocol

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.safety import documents

# Characters of a configuration; a longer one is data.
MAX_CHARACTERS = 200_000
# The configuration files of a repository, by path.
Files = Mapping[str, str]


class UnreadableError(QflowError):
    """A configuration that is not used; the message says why."""


class ProjectLinter(Protocol):
    """A linter that the repository configures."""

    @property
    def name(self) -> str:
        """The linter's name."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Notes on the parts of its configuration that were not read, and why."""
        ...

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether a rule is on (true) or switched off (false) for a file; None: nothing says so."""
        ...

    def excludes(self, path: str) -> bool:
        """Return whether the linter leaves out that file."""
        ...


def names_of(rule: Rule, *tools: str) -> tuple[str, ...]:
    """Return the names of a rule in these tools."""
    return tuple(name for tool in tools for name in rule.peers.get(tool, ()))


def toml(path: str, text: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        UnreadableError: It is not valid.
    """
    try:
        return tomllib.loads(_bounded(path, text))
    except (ValueError, RecursionError):
        raise UnreadableError(f"{path} is not valid TOML") from None


def yaml(path: str, text: str) -> dict[str, Any]:
    """Return the mapping in a file of YAML or JSON, also with the comments that tools allow in JSON.

    Raises:
        UnreadableError: It is not valid.
    """
    text = _bounded(path, text)
    if not path.endswith((".yml", ".yaml")):
        # A comment alone on its line is the usual form; a tab is no indentation in YAML.
        lines = (line for line in text.splitlines() if not line.lstrip().startswith(("//", "/*", "*")))
        text = "\n".join(lines).replace("\t", " ")
    try:
        content = documents.parse(text, path).data
    except UsageError:
        raise UnreadableError(f"{path} cannot be read") from None
    return content if isinstance(content, dict) else {}


def ini(path: str, text: str) -> ConfigParser:
    """Return the content of an INI file.

    Raises:
        UnreadableError: It is not valid.
    """
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_bounded(path, text))
    except ConfigParserError:
        raise UnreadableError(f"{path} is not a valid INI file") from None
    return parser


def table(content: Any, *keys: str) -> dict[str, Any]:
    """Return a mapping in a mapping; empty if there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def texts(value: Any) -> list[str]:
    """Return a list of texts, also one that is written with commas or lines; what is no text is left out."""
    if isinstance(value, str):
        return [part for part in value.replace(",", " ").split() if part]
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def folders_of(path: str) -> list[str]:
    """Return the folders above a file, the nearest first; the root is ''."""
    return ["" if str(folder) == "." else str(folder) for folder in PurePosixPath(path).parents]


def _bounded(path: str, text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(f"{path} has more than {MAX_CHARACTERS:,} characters")
    return text
