"""Running commands of others (a repository's tests, a task) where they can do no harm.

Belongs here: the isolation, its limits, and saying what could not be isolated. Does not belong
here: which command, and what its result means.

The command sees the system's programs read-only, one writable folder, an empty home and
temporary folder, and nothing else: no network, no other process, no environment of ours. It is
ended as a group with everything it started.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings

Kind = Literal["bubblewrap", "namespaces", "none"]
# The system's programs and what they need to start. Nothing of /home, /root, /var, /run, /srv, /mnt.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
CONFIGURATION = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/passwd",
                 "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/ssl", "/etc/java-17-openjdk",
                 "/etc/java-21-openjdk", "/etc/mime.types")  # fmt: skip
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
INSIDE = "/work"
NOBODY = 65534
OUTPUT_BYTES = 1_000_000
LARGEST_FILE = 512 * 1024**2


class NotIsolated(QflowError):  # noqa: N818
    """The command was not run, because this machine cannot isolate it."""


@dataclass(frozen=True)
class Limits:
    """What one command may use: seconds of wall clock, bytes of address space, processes."""

    seconds: float
    memory: int
    processes: int


class Ran(NamedTuple):
    """How a command ended; `output` is the end of what it printed, both streams together."""

    code: int | None
    output: str
    seconds: float
    timed_out: bool
    isolation: Kind


@cache
def available() -> Kind:
    """The strongest isolation that works here, found out by trying it."""
    for kind in ("bubblewrap", "namespaces"):
        with tempfile.TemporaryDirectory(prefix="qflow-probe-") as folder:
            Path(folder).chmod(0o755)
            with suppress(OSError, subprocess.SubprocessError):
                command = _wrapped(kind, ["true"], Path(folder), Limits(10, 2**30, 64))
                if (
                    subprocess.run(command, capture_output=True, timeout=20, env={"PATH": PATH}).returncode
                    == 0
                ):
                    return kind
    return "none"


def not_isolated(kind: Kind) -> list[str]:
    """What that isolation leaves open, in words."""
    if kind == "none":
        return ["network", "files of this user", "other processes"]
    # Resource limits count per process, not for all together; that takes control groups.
    return ["memory is limited per process, not in sum"]


def run(command: Sequence[str], folder: Path, *, limits: Limits | None = None, stdin: str = "") -> Ran:
    """Run `command` in `folder`, which it may write, with that standard input, and wait for its end.

    Raises:
        NotIsolated: there is no isolation here, and `QFLOW_GENERATION_UNISOLATED` does not allow to do without.
    """
    given = settings().generation
    limits = limits or Limits(given.test_timeout, given.test_memory * 1024**2, given.test_processes)
    kind = available()
    if kind == "none" and not given.unisolated:
        raise NotIsolated(
            "this machine cannot isolate a repository's own commands: install bubblewrap, or allow user "
            "namespaces; QFLOW_GENERATION_UNISOLATED=true runs them without, with all your rights"
        )
    if os.geteuid() == 0 and kind != "none":
        # Root is exempt from the limit of processes, so nobody runs it.
        _give_to_nobody(folder)
    started = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given_in:
        given_in.write(stdin.encode())
        given_in.seek(0)
        process = subprocess.Popen(
            _wrapped(kind, command, folder, limits),
            stdin=given_in,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder if kind == "none" else "/",
            env={"PATH": PATH, "HOME": "/tmp", "LANG": "C.UTF-8"},  # noqa: S108  (its own, inside)
            start_new_session=True,
        )
        timed_out = False
        try:
            process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - OUTPUT_BYTES))
        text = output.read().decode("utf-8", "replace")
    code = None if timed_out else process.returncode
    return Ran(code, text, time.monotonic() - started, timed_out, kind)


def _wrapped(kind: Kind, command: Sequence[str], folder: Path, limits: Limits) -> list[str]:
    limited = [
        "prlimit",
        f"--as={limits.memory}",
        f"--nproc={limits.processes}",
        f"--cpu={int(limits.seconds) + 1}",
        f"--fsize={LARGEST_FILE}",
        "--core=0",
        "--nofile=1024",
        "--",
        *command,
    ]
    if kind == "none":
        return limited
    # Root drops to nobody first: what is mapped into the namespace then is nobody, not root.
    dropped = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        if os.geteuid() == 0
        else []
    )
    if kind == "bubblewrap":
        return [*dropped, *_bubblewrap(folder), *limited]
    return [
        *dropped, "unshare", "--user", "--map-root-user", "--net", "--pid", "--mount", "--ipc", "--uts", "--fork",
        "--kill-child", "sh", "-ceu", _NAMESPACES, "sh", str(folder), " ".join(_readable()), *limited,
    ]  # fmt: skip


def _bubblewrap(folder: Path) -> list[str]:
    arguments = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
                 "--hostname", "sandbox"]  # fmt: skip
    # Before what may be read: of that, too, something may lie in /tmp.
    arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/tmp/home"]  # noqa: S108
    for path in _readable():
        # A link (/bin -> usr/bin) stays one.
        if Path(path).is_symlink():
            arguments += ["--symlink", str(Path(path).readlink()), path]
        else:
            arguments += ["--ro-bind", path, path]
    arguments += ["--bind", str(folder), INSIDE, "--chdir", INSIDE]
    for name, value in {"PATH": PATH, "HOME": "/tmp/home", "LANG": "C.UTF-8", "CI": "true"}.items():  # noqa: S108
        arguments += ["--setenv", name, value]
    return arguments


# The same by hand: a root of its own with what is readable, then everything else is left behind.
_NAMESPACES = f"""
folder=$1; readable=$2; shift 2
root=$(mktemp -d)
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
for path in $readable; do
    if [ -L "$path" ]; then ln -s "$(readlink "$path")" "$root$path"; continue; fi
    mkdir -p "$root$(dirname "$path")"
    if [ -d "$path" ]; then mkdir -p "$root$path"; else : > "$root$path"; fi
    mount --rbind "$path" "$root$path"
    mount -o remount,bind,ro,nosuid,nodev "$root$path" 2>/dev/null || mount -o remount,bind,ro "$root$path"
done
mkdir -p "$root/proc" "$root/dev" "$root/tmp/home" "$root{INSIDE}" "$root/old"
mount -t proc proc "$root/proc"
for device in null zero full random urandom; do
    : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$folder" "$root{INSIDE}"
cd "$root"
pivot_root . old
umount -l /old
rmdir /old
cd {INSIDE}
exec env -i PATH="{PATH}" HOME=/tmp/home LANG=C.UTF-8 CI=true \
    setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def _readable() -> list[str]:
    extra = [str(Path(path).resolve()) for path in settings().generation.sandbox_paths]
    return [path for path in (*SYSTEM, *CONFIGURATION, *extra) if os.path.lexists(path)]


def _give_to_nobody(folder: Path) -> None:
    chown = shutil.which("chown")
    if chown is None:
        raise QflowError("chown is not on PATH")
    # -h: a link is given away, not what it points to.
    subprocess.run([chown, "-hR", f"{NOBODY}:{NOBODY}", str(folder)], check=True, capture_output=True)
