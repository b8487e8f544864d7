"""What a sandboxed command sees: which folders, by what names, and its environment.

Belongs here: the allow-list, and keeping our own state out of it. Does not belong here: mounting
(`launcher`, bubblewrap).

A socket is reached through a read-only mount as well, so neither the state folder nor anything
above it is ever mounted: a system folder that holds it is mounted child by child, without the
one that leads there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from qflow_dagster.database import embedded
from qflow_dagster.errors import UsageError
from qflow_dagster.settings import settings

INSIDE = "/work"
HOME = "/tmp/home"  # noqa: S108  (its own, inside)
# What is made in it: toolchains write beside what they only read.
HOME_FOLDERS = (HOME, f"{HOME}/.cargo", f"{HOME}/.cargo/registry", f"{HOME}/.rustup")
# The system's programs and what they need to start. Nothing of /home, /root, /var, /run, /srv, /mnt.
SYSTEM = (
    *(f"/usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share", "include")),
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/passwd", "/etc/group",
    "/etc/nsswitch.conf", "/etc/localtime", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/mime.types",
    "/etc/java-11-openjdk", "/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/java-25-openjdk",
)  # fmt: skip
# Packages beside the system's: those that belong to root and that everybody may read.
PACKAGES = (Path("/usr/local"), Path("/opt"))
# Toolchains in the home of whoever runs us, where their installers put them. Only what runs: beside
# these, ~/.cargo holds credentials, and its checkouts of git may hold addresses with passwords.
TOOLCHAINS = (
    ".cargo/bin", ".nvm/versions", ".nvm/alias", ".pyenv/bin",
    ".pyenv/libexec", ".pyenv/plugins", ".pyenv/shims", ".pyenv/version", ".pyenv/versions",
    ".local/share/uv/python",
)  # fmt: skip
# Found in the sandbox's home, by programs that write beside them.
MOVED = (".cargo/registry/cache", ".cargo/registry/src", ".cargo/registry/index", ".rustup/toolchains",
         ".rustup/settings.toml")  # fmt: skip
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# Of the kernel's own files, those that tell of others than the command.
MASKED = ("/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/kcore")


class View(NamedTuple):
    """What is mounted read-only (source, path inside), what is a link (target, path), and the environment."""

    mounts: list[tuple[str, str]]
    links: list[tuple[str, str]]
    environment: dict[str, str]


def view() -> View:
    """What a command sees now, beside its work folder.

    Raises:
        UsageError: `QFLOW_GENERATION_SANDBOX_PATHS` names a folder that holds our state, or lies in it.
    """
    state = state_folders()
    home = Path.home()
    system = [Path(path) for path in SYSTEM]
    system += [child for folder in PACKAGES for child in _children(folder) if _public(child)]
    mounts: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    for path in (part for folder in system for part in _without(folder, state)):
        # A link (/bin -> usr/bin) stays one.
        if path.is_symlink():
            links.append((str(path.readlink()), str(path)))
        else:
            mounts.append((str(path), str(path)))
    toolchains = [part for name in TOOLCHAINS for part in _without(home / name, state)]
    mounts += [(str(path.resolve()), str(path)) for path in toolchains if not path.is_relative_to(INSIDE)]
    mounts += [
        (str(source.resolve()), f"{HOME}/{name}")
        for name in MOVED
        if (source := _origin(home, name)).exists()
        and not _within(source, state)
        and not _holds(source, state)
    ]
    mounts += [(path, path) for path in _further(state)]
    shown = [Path(path) for _, path in (*mounts, *links)]
    return View(mounts, links, _environment(home, shown))


def _origin(home: Path, name: str) -> Path:
    """Where a toolchain's folder lies outside: below the home, unless a variable of its names another."""
    tool, _, rest = name.partition("/")
    elsewhere = os.environ.get({".cargo": "CARGO_HOME", ".rustup": "RUSTUP_HOME"}[tool])
    return Path(elsewhere or home / tool) / rest


def everything() -> View:
    """What a command sees that nothing isolates."""
    return View([], [], {**_environment(Path.home(), [Path("/")]), "HOME": "/tmp"})  # noqa: S108


def state_folders() -> list[Path]:
    """Our own folders and those of the database's sockets, as they are named and where links lead."""
    given = settings()
    folders = [given.home, embedded.data_folder(given.home), embedded.ROOT_BASE]
    folders += [
        Path(os.environ[name])
        for name in ("DAGSTER_HOME", "PGHOST")
        if os.environ.get(name, "").startswith("/")
    ]
    for address in (given.database.url, given.dagster.url):
        folders += _socket_folders(address.get_secret_value()) if address else []
    return list({form for folder in folders for form in (folder.absolute(), folder.resolve())})


def _socket_folders(address: str) -> Iterator[Path]:
    try:
        url = make_url(address)
    except ArgumentError:
        return
    hosts = url.query.get("host", ())
    for text in (url.host or "", *((hosts,) if isinstance(hosts, str) else hosts)):
        yield from (Path(host) for host in text.split(",") if host.startswith("/"))


def _without(path: Path, state: list[Path]) -> Iterator[Path]:
    """`path`, or, where it holds some of our state, of what lies in it the parts that do not."""
    if not os.path.lexists(path) or _within(path, state):
        return
    if path.is_symlink() or not _holds(path, state):
        yield path
        return
    for child in _children(path):
        yield from _without(child, state)


def _within(path: Path, state: list[Path]) -> bool:
    forms = (path, path.resolve())
    return any(form.is_relative_to(folder) for folder in state for form in forms)


def _holds(path: Path, state: list[Path]) -> bool:
    forms = (path, path.resolve())
    return any(folder.is_relative_to(form) for folder in state for form in forms)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _public(path: Path) -> bool:
    """Whether it belongs to the system, and everybody may read it; what is a user's own, its settings name."""
    found = path.lstat()
    return found.st_uid == 0 and found.st_mode & 0o005 == 0o005 and path.name not in ("etc", "var")


def _further(state: list[Path]) -> Iterator[str]:
    for name in settings().generation.sandbox_paths:
        path = Path(name).resolve()
        if _within(path, state) or _holds(path, state):
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}, which holds, or lies in, the state of qflow or the "
                "socket of its database: nothing in the sandbox may see that; name a folder beside it"
            )
        if path.is_relative_to(INSIDE):
            raise UsageError(
                f"QFLOW_GENERATION_SANDBOX_PATHS names {name}: inside, {INSIDE} is the folder of the command; "
                "move it, or bind it elsewhere"
            )
        if path.exists():
            yield str(path)


def _environment(home: Path, shown: list[Path]) -> dict[str, str]:
    """The environment of the command: programs in the order in which whoever runs us finds them."""
    toolchains = [str(home / name) for name in (".cargo/bin", ".pyenv/shims", ".pyenv/bin")]
    toolchains += [str(path) for path in sorted((home / ".nvm/versions/node").glob("*/bin"), reverse=True)]
    given = os.environ.get("PATH", "").split(":")
    programs = [
        path
        for path in dict.fromkeys((*given, *toolchains, *PATH))
        if path in PATH
        or (path and any(Path(path).is_relative_to(folder) for folder in shown) and Path(path).is_dir())
    ]
    return {
        "PATH": ":".join(programs),
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "CI": "true",
        "CARGO_NET_OFFLINE": "true",
    }
