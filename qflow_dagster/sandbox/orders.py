"""The orders of the launcher: limits, user, view and, for bubblewrap, its whole command line.

Belongs here: putting them together. Does not belong here: what the command sees (`view`), and
starting the launcher (`supervision`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qflow_dagster.sandbox.syscall_filter import SyscallFilterError, compiled
from qflow_dagster.sandbox.view import (
    HOME_FOLDERS,
    INSIDE,
    MASKED,
    NO_PACKAGES,
    Packages,
    View,
    everything,
    view,
)

Kind = Literal["bubblewrap", "namespaces", "none"]
NOBODY = 65534
MEGABYTE = 1024**2
MAX_FILE = 512 * MEGABYTE
# The temporary folder lies in memory; so does the shared one, for which programs expect little.
MAX_TEMPORARY = 1024 * MEGABYTE
MAX_SHARED = 64 * MEGABYTE
MAX_INODES = 200_000


@dataclass(frozen=True)
class Limits:
    """The limits of one command: seconds of wall clock, bytes of address space, processes, bytes written."""

    seconds: float
    memory: int
    processes: int
    disk: int = 4_096 * MEGABYTE


def launcher_orders(
    kind: Kind,
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    groups: list[str],
    packages: Packages = NO_PACKAGES,
) -> dict[str, Any]:
    """Return the orders for one command; `groups` are the control groups that its processes join.

    Without isolation nothing can be mounted, and `packages` are not used.
    """
    seen = view() if kind != "none" else everything()
    if kind != "none":
        seen.environment.update(packages.variables)
        seen.environment["PATH"] = ":".join((*packages.programs, seen.environment["PATH"]))
    root = os.geteuid() == 0
    orders: dict[str, Any] = {
        "kind": kind,
        "groups": groups,
        "command": list(command),
        "environment": seen.environment,
        "folder": str(folder.resolve()),
        "inside": INSIDE,
        "filter": _filter(kind),
        "user": NOBODY if root else os.geteuid(),
        "group": NOBODY if root else os.getegid(),
        "limits": {
            "RLIMIT_AS": limits.memory,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_CPU": int(limits.seconds) + 1,
            "RLIMIT_FSIZE": MAX_FILE,
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": 1024,
        },
    }
    temporary = min(MAX_TEMPORARY, limits.memory)
    if kind == "bubblewrap":
        orders["command"] = _bubblewrap(seen, folder, packages, temporary, [*_limited(orders), *command])
    if kind == "namespaces":
        orders |= {
            "mounts": [
                *((source, path, True) for source, path in seen.mounts),
                (str(folder.resolve()), INSIDE, False),
                *((source, path, True) for source, path in packages.mounts),
            ],
            "links": seen.links,
            "masked": MASKED,
            "folders": HOME_FOLDERS,
            "temporary": temporary,
            "shared": MAX_SHARED,
            "inodes": MAX_INODES,
        }
    return orders


def _filter(kind: Kind) -> bytes:
    try:
        return compiled()
    except SyscallFilterError:
        if kind == "none":
            return b""
        raise


def _limited(orders: dict[str, Any]) -> list[str]:
    """Return the programs that take away what bubblewrap leaves: root's number, and the limits."""
    names = {
        "RLIMIT_AS": "as",
        "RLIMIT_NPROC": "nproc",
        "RLIMIT_CPU": "cpu",
        "RLIMIT_FSIZE": "fsize",
        "RLIMIT_CORE": "core",
        "RLIMIT_NOFILE": "nofile",
    }
    limits = [f"--{names[name]}={most}" for name, most in orders["limits"].items()]
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [
        *(["setpriv", *user, "--inh-caps=-all", "--bounding-set=-all", "--"] if os.geteuid() == 0 else []),
        "prlimit",
        *limits,
        "--",
    ]


def _bubblewrap(
    seen: View, folder: Path, packages: Packages, temporary: int, command: Sequence[str]
) -> list[str]:
    arguments = [
        "bwrap",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--hostname",
        "sandbox",
        "--cap-drop",
        "ALL",
    ]
    if os.geteuid() == 0:
        # In the launcher's user namespace; what becomes nobody next needs these.
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        # It enters the work folder, which nobody owns and may have closed.
        arguments += ["--cap-add", "CAP_DAC_READ_SEARCH"]
    else:
        arguments += ["--unshare-user"]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--size", str(MAX_SHARED), "--perms", "1777"]
    arguments += ["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    # Before what may be read: of that, too, something may lie in /tmp.
    arguments += ["--size", str(temporary), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    for path in HOME_FOLDERS:
        arguments += ["--perms", "1777", "--dir", path]
    parents = (
        str(parent)
        for _, path in (*seen.links, *seen.mounts, *packages.mounts)
        for parent in reversed(Path(path).parents)
    )
    for path in dict.fromkeys(parents):
        # Made by itself it would be open to its owner alone. What is there keeps its mode.
        arguments += ["--perms", "0755", "--dir", path]
    for target, path in seen.links:
        arguments += ["--symlink", target, path]
    for source, path in seen.mounts:
        arguments += ["--ro-bind-try", source, path]
    for path in MASKED:
        if Path(path).exists():
            arguments += ["--ro-bind", "/dev/null", path]
    arguments += ["--bind", str(folder.resolve()), INSIDE]
    for source, path in packages.mounts:
        arguments += ["--ro-bind", source, path]
    arguments += ["--remount-ro", "/", "--chdir", INSIDE]
    for name, value in seen.environment.items():
        arguments += ["--setenv", name, value]
    return [*arguments, *command]
