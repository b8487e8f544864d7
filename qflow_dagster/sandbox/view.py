"""The view of a sandboxed command: which folders it sees, by what names, and its environment.

Belongs here: the allow-list. Does not belong here: what is kept out of it (`hidden`), and mounting
(`launcher`, bubblewrap).

A socket is reached through a read-only mount as well, so neither the state folder nor anything
above it is ever mounted: a system folder that holds it is mounted child by child, without the
one that leads there.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.sandbox.hidden import Hidden, home_folder, not_for_everybody, state_folders
from qflow_dagster.settings import settings

INSIDE = "/work"
HOME = "/tmp/home"  # noqa: S108  (its own, inside)
# What is made in it: toolchains write beside what they only read.
HOME_FOLDERS = (HOME, f"{HOME}/.cargo", f"{HOME}/.cargo/registry", f"{HOME}/.rustup", f"{HOME}/.m2")
# The system's programs and what they need to start. Nothing of /home, /root, /var, /run, /srv, /mnt.
SYSTEM = (
    *(
        f"/usr/{name}"
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share", "include")
    ),
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/mime.types",
    "/etc/maven/m2.conf",
    "/etc/maven/logging",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/java-25-openjdk",
)
# Packages beside the system's: those that belong to root and that everybody may read.
PACKAGES = (Path("/usr/local"), Path("/opt"))
# Toolchains in the home of whoever runs us, where their installers put them. Only what runs: beside
# these, ~/.cargo holds credentials, and its checkouts of git may hold addresses with passwords.
TOOLCHAINS = (
    ".cargo/bin",
    ".nvm/versions",
    ".nvm/alias",
    ".pyenv/bin",
    ".pyenv/libexec",
    ".pyenv/plugins",
    ".pyenv/shims",
    ".pyenv/version",
    ".pyenv/versions",
    ".local/share/uv/python",
    # The modules of Go that were fetched, as the files of a proxy.
    "go/pkg/mod/cache/download",
)
# Found in the sandbox's home, by programs that write beside them.
MOVED = (
    ".cargo/registry/cache",
    ".cargo/registry/src",
    ".cargo/registry/index",
    ".rustup/toolchains",
    ".rustup/settings.toml",
    # What Maven downloaded; not its settings, which may hold passwords.
    ".m2/repository",
)
# Ours: without a network, "localhost" is the one name there is.
HOSTS = (str(Path(__file__).with_name("hosts")), "/etc/hosts")
# Java takes the home from the list of users, and memory by the size of the machine. What a mirror of the operator's
# settings downloaded counts, though these settings are not there.
MAVEN = (
    f"-Duser.home={HOME}",
    "-Xmx1g",
    "-XX:CompressedClassSpaceSize=256m",
    "-Daether.enhancedLocalRepository.trackingFilename=none",
)
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# Not folders of files: the kernel's, devices, and the sockets of services.
KERNEL = ("/proc", "/sys", "/dev", "/run")
# The kernel's own files that show other processes than the command.
MASKED = ("/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/kcore")


class View(NamedTuple):
    """The read-only mounts (source, path inside), the links (target, path), and the environment."""

    mounts: list[tuple[str, str]]
    links: list[tuple[str, str]]
    environment: dict[str, str]


class Packages(NamedTuple):
    """What one command sees beside its view: read-only mounts (source, path inside), variables, folders of programs.

    A path inside that lies in the work folder must be there.
    """

    mounts: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, str] = {}
    programs: tuple[str, ...] = ()


NO_PACKAGES = Packages()


def view() -> View:
    """Return what a command sees now, beside its work folder.

    Raises:
        UsageError: `QFLOW_GENERATION_SANDBOX_PATHS` names a folder that holds our state, or lies in it.
    """
    home = home_folder()
    state = state_folders()
    further = list(_further(Hidden(state)))
    packages = [child for folder in PACKAGES for child in _children(folder) if _public(child)]
    system = [Path(path) for path in SYSTEM]
    toolchains = {home / name: home / name for name in TOOLCHAINS if not (home / name).is_relative_to(INSIDE)}
    toolchains |= {_origin(home, name): Path(HOME, name) for name in MOVED}
    # Its links are followed: their targets are checked, and mounted.
    followed = [(_followed(path), at) for path, at in toolchains.items()]
    followed = [(path, at) for path, at in followed if not _more_than_a_toolchain(path, home)]
    followed += [(path, path) for path in further]
    tops = [*system, *packages, *(path for path, _ in followed)]
    for top in (*system, *packages):
        state += not_for_everybody(top, package=top in packages)
    temporary = _followed(Path(tempfile.gettempdir()))
    if any(top in temporary.parents for top in tops):
        state.append(temporary)
    hidden = Hidden(state)
    mounts: list[tuple[str, str]] = [HOSTS]
    links: list[tuple[str, str]] = []
    for top, at in (*((path, path) for path in (*system, *packages)), *followed):
        for part in _readable_parts(top, hidden):
            inside = str(at / part.relative_to(top))
            # A link (/bin -> usr/bin) stays one.
            if part.is_symlink():
                links.append((str(part.readlink()), inside))
            else:
                mounts.append((str(part), inside))
    readable = [Path(path) for _, path in (*mounts, *links)]
    return View(mounts, links, _environment(home, readable))


def _origin(home: Path, name: str) -> Path:
    """Return where a toolchain's folder lies outside: below the home, unless a variable of its names another."""
    tool, _, rest = name.partition("/")
    variable = {".cargo": "CARGO_HOME", ".rustup": "RUSTUP_HOME"}.get(tool)
    elsewhere = os.environ.get(variable) if variable else None
    return Path(elsewhere or home / tool) / rest


def _followed(path: Path) -> Path:
    """Return where it leads; of a circle of links, somewhere in it."""
    return Path(os.path.realpath(path))


def _more_than_a_toolchain(path: Path, home: Path) -> bool:
    """Return whether a link leads to a whole home, or to something that is not a folder of files."""
    return _followed(home).is_relative_to(path) or any(path.is_relative_to(folder) for folder in KERNEL)


def everything() -> View:
    """Return what a command sees that nothing isolates."""
    return View([], [], {**_environment(home_folder(), [Path("/")]), "HOME": "/tmp"})  # noqa: S108


def _readable_parts(path: Path, hidden: Hidden) -> Iterator[Path]:
    """`path`, or, where it holds some of what is hidden, of what lies in it the parts that do not."""
    if not os.path.lexists(path) or hidden.leads_to(path):
        return
    if path.is_symlink() or not hidden.lies_in(path):
        yield path
    else:
        for child in _children(path):
            yield from _readable_parts(child, hidden)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _public(path: Path) -> bool:
    """Return whether it belongs to the system, and everybody may read it; what is a user's own, its settings name."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        # It was removed since its folder was listed.
        return False
    return status.st_uid == 0 and status.st_mode & 0o005 == 0o005 and path.name not in ("etc", "var")


def _further(state: Hidden) -> Iterator[Path]:
    for name in settings().generation.sandbox_paths:
        try:
            path = Path(name).resolve(strict=True)
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is a circle of links"
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}, which cannot be read: {reason}; "
                "name a folder that you may read"
            ) from None
        if state.leads_to(path) or state.lies_in(path):
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}, which holds, or lies in, the state of qflow or the "
                "socket of its database: nothing in the sandbox may see that; name a folder beside it"
            )
        if any(path.is_relative_to(folder) for folder in KERNEL):
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}, which lies in {path.parents[-1]}{path.parts[1]}: "
                "that shows the machine and other processes; name a folder of files"
            )
        if path.is_relative_to(INSIDE):
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}: inside, {INSIDE} is the folder of the command; "
                "move it, or bind it elsewhere"
            )
        yield path


def _environment(home: Path, readable: list[Path]) -> dict[str, str]:
    """Return the environment of the command: programs in the order in which whoever runs us finds them."""
    toolchains = [str(home / name) for name in (".cargo/bin", ".pyenv/shims", ".pyenv/bin")]
    toolchains += [str(path) for path in sorted((home / ".nvm/versions/node").glob("*/bin"), reverse=True)]
    path_variable = os.environ.get("PATH", "").split(":")
    programs = [
        path
        for path in dict.fromkeys((*path_variable, *toolchains, *PATH))
        if path in PATH
        or (path and any(Path(path).is_relative_to(folder) for folder in readable) and Path(path).is_dir())
    ]
    return {
        "PATH": ":".join(programs),
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "CI": "true",
        "CARGO_NET_OFFLINE": "true",
        "MAVEN_OPTS": " ".join(MAVEN),
        "GOPROXY": f"file://{home / 'go/pkg/mod/cache/download'}",
        "GOTOOLCHAIN": "local",
        # What it unpacks can be deleted afterwards.
        "GOFLAGS": "-modcacherw",
    }
