"""Dagster's `dagster.yaml`: the project's defaults, merged with what the operator says in a file of their own.

The operator's file is `$QFLOW_HOME/dagster/dagster.yaml`. It holds only what is to differ, and is never written to. The
result lies in `$QFLOW_HOME/dagster/instance`, which is Dagster's home.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.private_folders import private_folder
from qflow_dagster.settings import settings

DEFAULTS = Path(__file__).parent.parent / "dagster.yaml"
FILE = "dagster.yaml"
# Earlier versions wrote a copy of their defaults where the operator's file is now: SHA-256 of that copy.
OLD_COPY = "137794f93eb0133ed5ab4dbc90aa2735501c1a36d9435b154ff5e59f94508c5d"
# Runs at a time where each has a process of its own, which imports everything.
MAX_PROCESSES = 4
# Seconds until such a process must have begun its run.
PROCESS_START_TIMEOUT = 300
# A section that chooses an implementation is replaced: the configuration of another would not fit it.
CHOICES = {"storage", "run_launcher", "run_coordinator", "compute_logs", "local_artifact_storage", "secrets"}


def operator_file() -> Path:
    """Return the path of the operator's file, whether or not there is one."""
    return (settings().home / "dagster" / FILE).absolute()


def defaults() -> dict[str, Any]:
    """Return the project's own configuration of Dagster; the settings say whether workers execute its runs."""
    ours = yaml.safe_load(DEFAULTS.read_text())
    if not settings().workers.enabled:
        del ours["run_launcher"]
        ours["concurrency"]["runs"]["max_concurrent_runs"] = MAX_PROCESSES
        ours["run_monitoring"]["start_timeout_seconds"] = PROCESS_START_TIMEOUT
    return ours


def overrides() -> dict[str, Any]:
    """Return what the operator's file says; nothing where there is none.

    Raises:
        UsageError: the file is not valid YAML, or not a mapping.
    """
    path = operator_file()
    if not path.exists():
        return {}
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() == OLD_COPY:
        return {}
    try:
        parsed = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(parsed or {}, dict):
        raise UsageError(f"{path} must hold sections, as Dagster's documentation has them")
    return parsed or {}


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return our configuration with theirs over it: mappings key by key, all else replaced; null removes a key."""
    result = dict(ours)
    for key, value in theirs.items():
        if value is None:
            result.pop(key, None)
        elif key not in CHOICES and isinstance(value, dict) and isinstance(ours.get(key), dict):
            result[key] = merged(ours[key], value)
        else:
            result[key] = value
    return result


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted name, our value and their value of what the two say differently; None: it is not there."""
    for key in sorted({*ours, *theirs}, key=str):
        before, after = ours.get(key), theirs.get(key)
        here = (*path, str(key))
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, here)
        elif before != after:
            yield ".".join(here), before, after


def write_instance() -> Path:
    """Write the merged configuration, and return the folder that is Dagster's home.

    Raises:
        UsageError: the operator's file is invalid.
    """
    home = private_folder((settings().home / "dagster").absolute())
    instance = private_folder(home / "instance")
    # Earlier versions had Dagster's home one folder up: what it stored there moves along.
    if (home / "storage").exists() and not (instance / "storage").exists():
        (home / "storage").rename(instance / "storage")
    text = yaml.safe_dump(merged(defaults(), overrides()), sort_keys=False)
    header = f"# Generated at each start from the project's defaults and {operator_file()}: edit that file.\n"
    file = instance / FILE
    if not file.exists() or file.read_text() != header + text:
        # Replaced as a whole: another process may be reading it.
        fresh = instance / f".{FILE}.{os.getpid()}"
        fresh.touch(0o600)
        fresh.write_text(header + text)
        fresh.replace(file)
    return instance
