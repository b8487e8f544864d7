"""Memory and processes of a sandbox in sum, where we may make control groups: mostly as root.

Belongs here: making, limiting and removing a group, in either version of the kernel's interface.
Does not belong here: joining a group (done by `launcher`).
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "qflow-"
_numbers = itertools.count()


@contextmanager
def control_groups(memory: int, processes: int) -> Iterator[list[str]]:
    """Make groups of at most `memory` bytes and `processes` processes; yield the files to write a process id to.

    The list is empty where none can be made. The groups are removed at the end, when no process is in them.
    """
    name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
    made: list[Path] = []
    for parents, limits in _hierarchies(memory, processes):
        for parent in parents:
            _remove_orphans(parent)
            group = parent / name
            try:
                group.mkdir()
                if not (group / "cgroup.procs").exists():
                    raise OSError(f"{parent} holds no control groups")
                for file, limit in limits.items():
                    # Without the controller the file is not there, and no such file can be made.
                    (group / file).write_text(str(limit))
            except OSError:
                with suppress(OSError):
                    group.rmdir()
                continue
            made.append(group)
            break
    try:
        yield [str(group / "cgroup.procs") for group in made]
    finally:
        for group in made:
            with suppress(OSError):
                group.rmdir()


def _hierarchies(memory: int, processes: int) -> Iterator[tuple[list[Path], dict[str, int]]]:
    """Yield where a group may be made, best first, and what is written into its files."""
    mounted: dict[str, Path] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, path, kind, options, *_ = line.split()
            if kind == "cgroup2":
                mounted[""] = Path(path)
            elif kind == "cgroup":
                mounted |= {name: Path(path) for name in options.split(",") if name in ("memory", "pids")}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, own = line.split(":", 2)
            for name in controllers.split(","):
                if name not in mounted:
                    continue
                parent = mounted[name] / own.lstrip("/")
                # Of a group outside of our namespace, the path starts with `..`.
                if ".." in parent.parts:
                    continue
                if name == "":
                    # A group that holds processes hands no controller on: then it is made beside it.
                    beside = [parent.parent] if parent != mounted[name] else []
                    yield [parent, *beside, mounted[name]], {"memory.max": memory, "pids.max": processes}
                elif name == "memory":
                    yield [parent], {"memory.limit_in_bytes": memory}
                else:
                    yield [parent], {"pids.max": processes}


def _remove_orphans(parent: Path) -> None:
    """Remove the groups of processes that were killed before they could."""
    with suppress(OSError):
        for group in parent.glob(f"{PREFIX}*-*"):
            owner = group.name.removeprefix(PREFIX).partition("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                with suppress(OSError):
                    group.rmdir()
