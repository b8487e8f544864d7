"""The repository's own configuration of ruff for a file, followed only within the repository.

Belongs here: finding it, refusing what leads outside. Does not belong here: what ruff is run for.
"""

import tomllib
from pathlib import Path
from typing import Any

from qflow_dagster.errors import QflowError

# In this order ruff looks for them in a folder.
NAMES = (".ruff.toml", "ruff.toml", "pyproject.toml")
MAX_EXTENDED = 10


class ConfigurationError(QflowError):
    """A configuration that is not used; the message says why."""


def configuration_of(path: str, root: Path) -> Path | None:
    """Return the configuration file that applies to a file of a checkout; None: there is none.

    Raises:
        ConfigurationError: it cannot be read, or extends a file outside of the repository.
    """
    for folder in Path(path).parents:
        for name in NAMES:
            file = root / folder / name
            if file.is_file() and (name != "pyproject.toml" or "ruff" in tools_of(file)):
                chain(file, root)
                return file
    return None


def tools_of(pyproject: Path) -> dict[str, Any]:
    """Return the table `tool` of a pyproject.toml."""
    tools = _read(pyproject).get("tool", {})
    return tools if isinstance(tools, dict) else {}


def chain(file: Path, root: Path) -> list[Path]:
    """Return a configuration file, the one that it extends, and so on.

    Raises:
        ConfigurationError: one of them cannot be read, or lies outside of the repository.
    """
    files = [file]
    for _ in range(MAX_EXTENDED):
        content = tools_of(file).get("ruff", {}) if file.name == "pyproject.toml" else _read(file)
        extended = content.get("extend") if isinstance(content, dict) else None
        if extended is None:
            return files
        name = file.relative_to(root)
        # Ruff replaces these.
        if not isinstance(extended, str) or extended.startswith("~") or "$" in extended:
            raise ConfigurationError(f"{name} extends a file that its text does not name")
        file = (file.parent / extended).resolve()
        if not file.is_relative_to(root.resolve()) or not file.is_file():
            raise ConfigurationError(f"{name} extends a file that is not in the repository")
        files.append(file)
        root = root.resolve()
    raise ConfigurationError("its configuration of ruff extends too many files")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ConfigurationError(f"{file.name} is not valid TOML") from None
