"""Attempts by code that runs in the sandbox: files, network, processes, kernel interfaces, resources."""

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path

import psutil

from qflow_dagster import sandbox
from qflow_dagster.sandbox import Limits, Ran
from tests.security.corpus import attempt

# Not the one of a version manager, whose start alone takes a second.
PYTHON = "/usr/bin/python3"
MARK = "pwned by the sandboxed command"


def inside(
    folder: Path,
    program: str,
    *,
    seconds: float = 15,
    memory: int = 2**31,
    processes: int = 60,
    disk: int = Limits.disk,
) -> Ran:
    """Run a Python program in the sandbox; its folder is `folder/work`."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    name = f"attack-{folder.name}.py"
    (work / name).write_text(f"open('began', 'w').close()\n{program}")
    # An attack that never began would prove nothing; on a busy machine it takes longer to.
    for patience in (1, 2, 4, 8):
        limits = Limits(seconds * patience, memory, processes, disk)
        done = sandbox.run([PYTHON, name], work, limits=limits)
        if (work / "began").exists():
            return done
    raise AssertionError(f"it never began: {done.output}")


def held(folder: Path, program: str) -> None:
    """Run a program that prints `MARK` where it gets what it wants."""
    done = inside(folder, f"MARK = {MARK!r}\n{program}")
    assert MARK not in done.output, done.output


def secret(folder: Path) -> Path:
    """A file of the operator's that everybody may read, as far as its mode says."""
    path = folder / "secret.txt"
    path.write_text(MARK)
    path.chmod(0o644)
    return path


PLACES = (
    "etc shadow",
    "home",
    "root home",
    "run",
    "var",
    "tmp of the host",
    "folder above",
    "environment of init",
    "disk",
)


@attempt("files outside the sandbox", *PLACES)
def read_outside(folder: Path, name: str) -> None:
    path = secret(folder)
    places = {
        "etc shadow": "/etc/shadow",
        "home": str(Path.home() / ".bashrc"),
        "root home": "/root/.profile",
        "run": "/run/utmp",
        "var": "/var/log/dpkg.log",
        "tmp of the host": str(path),
        "folder above": "../secret.txt",
        "environment of init": "/proc/1/environ",
        "disk": "/dev/vda",
    }
    held(
        folder,
        f"""
import os
path = {places[name]!r}
data = open(path, 'rb').read(4096)
# The first process of the sandbox is ours, and its environment holds nothing of the operator's.
if not path.startswith('/proc') or b'QFLOW_' in data or b'SECRET' in data:
    print(MARK, data)
""",
    )


@attempt("files outside the sandbox", "/usr/bin", "/etc", "/lib", "/", "/dev/null made anew", "/proc/sys")
def write_outside(folder: Path, name: str) -> None:
    """It may write what it likes into a root of its own, as long as the machine's stays."""
    path = Path(
        {"/dev/null made anew": "/dev/pwned", "/proc/sys": "/proc/sys/kernel/core_pattern"}.get(
            name, f"{name}/pwned"
        )
    )
    before = path.read_bytes() if path.exists() else None
    inside(folder, f"open({str(path)!r}, 'w').write('x')")
    assert (path.read_bytes() if path.exists() else None) == before


@attempt("files outside the sandbox")
def environment_of_the_operator(folder: Path) -> None:
    os.environ["QFLOW_SECURITY_PROBE"] = MARK
    held(folder, "import os; print(os.environ)")


# One attempt at a time says where the state folder is.
_home = threading.Lock()
STATE = ("home under /opt", "home under /usr/local", "home linked from /opt")


@attempt("own state", *STATE)
def reach_the_database(folder: Path, name: str) -> None:
    """The state folder lies where the sandbox has its system folders: a database, keys, a socket."""
    from qflow_dagster.settings import settings

    parent = Path("/usr/local" if "local" in name else "/opt")
    if not os.access(parent, os.W_OK):
        # An ordinary user puts it nowhere there.
        return
    state = Path(tempfile.mkdtemp(prefix="qflow-corpus-", dir=parent))
    real = state
    if name == "home linked from /opt":
        real = folder / "real"
        shutil.move(state, real)
        state.symlink_to(real)
    _home.acquire()
    before = settings().home
    try:
        (real / "secret.key").write_text(MARK)
        for path in (real, real / "secret.key"):
            path.chmod(0o755)
        settings().home = state
        held(
            folder,
            f"""
import os
for base in ({str(state)!r}, {str(real)!r}):
    for root, _, files in os.walk(base):
        for file in files:
            print(open(os.path.join(root, file)).read())
""",
        )
    finally:
        settings().home = before
        _home.release()
        if state.is_symlink():
            state.unlink()
        shutil.rmtree(state, ignore_errors=True)


NETWORK = {
    "loopback": "socket.create_connection(('127.0.0.1', PORT), 3)",
    "loopback by IPv6": "socket.create_connection(('::1', PORT), 3)",
    "abstract socket": "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + NAME)",
    "socket of a path": "s = socket.socket(socket.AF_UNIX); s.connect(PATH)",
    "another machine": "socket.create_connection(('192.0.2.1', 80), 3)",
    "name server": "socket.getaddrinfo('example.org', 80); print(MARK)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(b'x', ('192.0.2.1', 0))",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300).bind(('eth0', 0))",
}


@attempt("network", *NETWORK)
def network(folder: Path, name: str) -> None:
    import socket

    abstract, path = f"qflow-{secrets.token_hex(4)}", str(folder / "socket")
    with contextlib.ExitStack() as stack:
        servers = []
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_UNIX, "\0" + abstract),
            (socket.AF_UNIX, path),
        ):
            server = stack.enter_context(socket.socket(family))
            server.bind(address)
            server.listen()
            servers.append(server)
        Path(path).chmod(0o777)
        held(
            folder,
            f"""
import socket
PORT, NAME, PATH = {servers[0].getsockname()[1]}, {abstract!r}, {path!r}
{NETWORK[name]}
print(MARK)
""",
        )


RUNAWAYS = {
    "new session": "os.setsid()",
    "new group": "os.setpgid(0, 0)",
    "death signal undone": "libc.prctl(1, 0, 0, 0, 0); os.setsid()",
    "two forks": "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0)",
    "signals ignored": "[signal.signal(n, signal.SIG_IGN) for n in range(1, 32) if n not in (9, 19)]; os.setsid()",
    "parent killed": "os.fork() and time.sleep(60); os.kill(os.getppid(), 9)",
    "parent stopped": "os.fork() and time.sleep(60); os.kill(os.getppid(), 19)",
    "init killed": "os.kill(1, 9); os.kill(1, 15)",
    "everybody killed": "signal.signal(15, signal.SIG_IGN); os.kill(-1, 15)",
    "descriptors closed": "os.closerange(0, 1024); os.setsid()",
    "subreaper": "libc.prctl(36, 1, 0, 0, 0); os.fork() and os._exit(0); os.setsid()",
    "stopped itself": "os.fork() and os.kill(os.getpid(), 19); os.setsid()",
    "chain of forks": "[os.fork() and os._exit(0) for _ in range(30)]",
}


@attempt("processes that outlive the limit", *RUNAWAYS)
def runaway(folder: Path, name: str) -> None:
    work = folder / "work"
    inside(
        folder,
        f"""
import ctypes, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
try:
    {RUNAWAYS[name]}
except OSError as error:
    pass
n = 0
end = time.monotonic() + 60
while time.monotonic() < end:
    n += 1
    open('alive', 'w').write(str(n))
    time.sleep(0.02)
""",
        seconds=1,
    )
    counter = work / "alive"
    first = counter.read_text() if counter.exists() else ""
    time.sleep(0.3)
    assert (counter.read_text() if counter.exists() else "") == first, "it still counts"
    still = [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if folder.name in " ".join(process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
    assert not still, "it still runs"


# Numbers of system calls on x86-64 and, where they differ, arm64; name -> (x86-64, arm64, arguments).
CALLS = {
    "add_key": (248, 217, "b'user', b'k', b'v', 1, -3"),
    "request_key": (249, 218, "b'user', b'k', None, -3"),
    "keyctl": (250, 219, "0, -3, 1"),
    "ptrace": (101, 117, "0, 0, 0, 0"),
    "mount": (165, 40, "b'none', b'/tmp', b'tmpfs', 0, None"),
    "umount2": (166, 39, "b'/work', 2"),
    "pivot_root": (155, 41, "b'.', b'.'"),
    "unshare": (272, 97, "0x10000000"),
    "setns": (308, 268, "0, 0"),
    "bpf": (321, 280, "0, None, 0"),
    "userfaultfd": (323, 282, "1"),
    "perf_event_open": (
        298,
        241,
        "ctypes.create_string_buffer(b'\\0\\0\\0\\0\\x80\\0\\0\\0', 128), 0, -1, -1, 0",
    ),
    "open_by_handle_at": (304, 265, "-100, ctypes.create_string_buffer(128), 0"),
    "init_module": (175, 105, "None, 0, b''"),
    "kexec_load": (246, 104, "0, 0, None, 0"),
    "swapon": (167, 224, "b'/x', 0"),
    "reboot": (169, 142, "0, 0, 0, None"),
    "syslog": (103, 116, "3, ctypes.create_string_buffer(64), 64"),
    "process_vm_readv": (310, 270, "1, None, 0, None, 0, 0"),
    "io_uring_setup": (425, 425, "1, ctypes.create_string_buffer(120)"),
    "fsopen": (430, 430, "b'tmpfs', 0"),
    "move_mount": (429, 429, "-100, b'/tmp', -100, b'/work', 0"),
    "clone with a user namespace": (56, 220, "0x10000011, None, None, None, None"),
    "acct": (163, 89, "None"),
    "quotactl": (179, 60, "0, None, 0, None"),
    "chroot": (161, 51, "b'/tmp'"),
}


@attempt("kernel interfaces", *CALLS)
def system_call(folder: Path, name: str) -> None:
    intel, arm, arguments = CALLS[name]
    held(
        folder,
        f"""
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {intel} if platform.machine() == 'x86_64' else {arm}
result = libc.syscall(number, {arguments})
if result == 0 and {name!r} == 'clone with a user namespace':
    os._exit(0)
refused = ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.EACCES)
print(result, errno.errorcode.get(ctypes.get_errno()))
if result >= 0 or not refused:
    print(MARK)
""",
    )


@attempt("kernel interfaces")
def key_of_the_operators_session(folder: Path) -> None:
    import ctypes
    import platform

    if platform.machine() != "x86_64":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # In the session keyring of this thread, which new processes inherit.
    if libc.syscall(248, b"user", b"qflow-probe", MARK.encode(), len(MARK), -3) < 0:
        return
    held(
        folder,
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for ring in (-1, -2, -3, -4, -5):
    key = libc.syscall(250, 10, ring, b"user", b"qflow-probe", 0)
    buffer = ctypes.create_string_buffer(200)
    if key > 0 and libc.syscall(250, 11, key, buffer, 200) > 0:
        print(buffer.value.decode())
try:
    if 'qflow-probe' in open('/proc/keys').read():
        print(MARK)
except OSError:
    pass
""",
    )


@attempt("kernel interfaces")
def input_pushed_into_the_terminal(folder: Path) -> None:
    held(
        folder,
        """
import fcntl, termios
for fd in (0, 1, 2):
    try:
        fcntl.ioctl(fd, termios.TIOCSTI, b'x')
        print(MARK)
    except OSError:
        pass
""",
    )


GREEDY = {
    "memory": ("x = []\nwhile True: x.append(bytearray(10**8))", None),
    "processes": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", None),
    "one large file": ("f = open('big', 'wb')\nwhile True: f.write(bytes(10**7))", None),
    "many files": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'big{n}', 'wb').write(bytes(10**8))",
        3 * 1024**3,
    ),
    "temporary files": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/big{n}', 'wb').write(bytes(10**8))",
        None,
    ),
    "shared memory": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'/dev/shm/big{n}', 'wb').write(bytes(10**8))",
        None,
    ),
    "output": ("import sys\nwhile True: sys.stdout.write('x' * 10**6)", None),
    "time": ("while True: pass", None),
    "sleep": ("import time\ntime.sleep(1000)", None),
    "descriptors": ("import os\nwhile True: os.dup(0)", None),
}
# They go on, and keep the processor busy, for as long as they may.
ENDLESS = ("processes", "output", "time", "sleep")


@attempt("resources", *GREEDY)
def greedy(folder: Path, name: str) -> None:
    program, most = GREEDY[name]
    free = psutil.virtual_memory().available
    started = time.monotonic()
    seconds = 1 if name in ENDLESS else 3
    done = inside(folder, program, seconds=seconds, memory=2**30, processes=30, disk=1024**3)
    assert time.monotonic() - started < 60
    assert done.timed_out or done.code != 0
    written = sum(path.lstat().st_size for path in (folder / "work").rglob("*"))
    assert written <= (most or 700_000_000), f"{written:,} bytes were written"
    assert len(done.output) < 2_000_000
    assert psutil.virtual_memory().available > free - 4 * 1024**3
