"""The program between the supervisor and a sandboxed command: it isolates, waits, and leaves nothing.

Belongs here: namespaces, the root folder of the command, dropping rights, its first process. Does
not belong here: what the command may see (`view`) and which system calls (`syscall_filter`).

It runs with the standard library alone and without `site`: the project may lie in a folder that it
can no longer enter once it dropped its rights. It reads its orders (`marshal`, the quickest) from a
socket, and answers there with problems and a descriptor of the process whose end ends everything.

That is the first process of a PID namespace, with which the kernel kills all others: never the
command, and bubblewrap runs inside. It ends with the command, the supervisor or the launcher.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import warnings  # noqa: F401  (os.execvpe imports it, too late)
from contextlib import suppress

# `typing` itself costs as much as everything else here, at every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 8, 0x4000, 0x40000, 2
# The same numbers on all architectures.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE, AT_EMPTY_PATH, AT_FDCWD = 1, 0o2000000, 0x8000, 0x1000, -100
MOVE_MOUNT_EMPTY_PATH = 4
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
KEYCTL_JOIN_SESSION_KEYRING = 1
# pivot_root and keyctl: x86_64 has numbers of its own, newer architectures share theirs.
PIVOT_ROOT, KEYCTL = (155, 250) if os.uname().machine == "x86_64" else (41, 219)
# What a new root is put together on; hidden by it, so any folder that is always there.
BASE = "/tmp"  # noqa: S108
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
NOT_FOUND, NOT_EXECUTABLE, NOT_SET_UP = 127, 126, 125

libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Do what the orders say; exit as the command did."""
    control, supervisor, status = socket.socket(fileno=int(sys.argv[1])), *map(int, sys.argv[2:])
    for descriptor in (control.fileno(), supervisor, status):
        os.set_inheritable(descriptor, False)
    orders = marshal.loads(b"".join(iter(lambda: control.recv(1 << 16), b"")))  # noqa: S302  (our own)
    orders["status"] = status
    # Of the first process of a namespace, a signal is ignored that nobody handles.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Keys of the operator lie in the one of the login; a kernel without keyrings has nothing to leave.
    libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    os.umask(0o022)  # (whatever ours is: nobody must be able to enter what is made)
    code = NOT_SET_UP
    try:
        for path in orders["groups"]:
            with open(path, "w") as processes:
                processes.write("0")
        code = KINDS[orders["kind"]](orders, control, supervisor)
    except OSError as error:
        with suppress(OSError):
            control.sendall(str(error).encode())
    os._exit(code)


def with_namespaces(orders: dict[str, Any], control: socket.socket, supervisor: int) -> int:
    """Isolate by the kernel's namespaces."""
    enter_namespaces(NEWUSER | NEWPID | NEWNS | NEWNET | NEWIPC | NEWUTS | NEWCGROUP)

    def isolate() -> None:
        make_root(orders)
        bring_loopback_up()
        drop_rights(orders)

    return behind_first_process(isolate, lambda: become_harmless(orders), control, supervisor)


def with_bubblewrap(orders: dict[str, Any], control: socket.socket, supervisor: int) -> int:
    """Isolate by bubblewrap; in namespaces of ours, where root can do in the one what root can.

    Its own `--die-with-parent` is not enough: killed while it sets up, it leaves its child behind.
    """
    enter_namespaces(NEWUSER | NEWPID)
    return behind_first_process(lambda: None, lambda: become_bubblewrap(orders), control, supervisor)


def without_isolation(orders: dict[str, Any], control: socket.socket, supervisor: int) -> int:
    """Run the command as it is, then end what it started, as far as that can be found."""
    control.close()
    call(libc.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = wake_up_pipe(signal.SIGCHLD, signal.SIGTERM)
    command = os.fork()
    if command == 0:
        os.setsid()
        os.chdir(orders["folder"])
        become_harmless(orders)
    code = reap_until(command, wake, [supervisor], stop_at=signal.SIGTERM)
    # Whoever lost its parent is ours: as long as there are any, kill them.
    children = os.open("/proc/thread-self/children", os.O_RDONLY)
    while processes := os.pread(children, 1 << 16, 0).split():
        for process in map(int, processes):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return code


KINDS = {"namespaces": with_namespaces, "bubblewrap": with_bubblewrap, "none": without_isolation}


def behind_first_process(
    isolate: Callable[[], None], become: Callable[[], NoReturn], control: socket.socket, supervisor: int
) -> int:
    """Start the first process of the new PID namespace, and behind it the command; wait for its end."""
    launcher = os.pidfd_open(os.getpid())
    first = os.fork()
    if first == 0:
        code = NOT_SET_UP
        try:
            code = be_first(isolate, become, control, [supervisor, launcher])
        except OSError as error:
            with suppress(OSError):
                control.sendall(str(error).encode())
        os._exit(code)
    with suppress(OSError):  # (a supervisor that is gone; `wait_for` sees that too)
        socket.send_fds(control, [b"+"], [os.pidfd_open(first)])
    return wait_for(first, control, supervisor)


def be_first(
    isolate: Callable[[], None], become: Callable[[], NoReturn], control: socket.socket, watched: list[int]
) -> int:
    """Be the first process of the namespace: isolate, start the command, reap, end with it."""
    os.setsid()
    isolate()
    # Of the command's user, but not the command's to look into.
    call(libc.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)
    wake = wake_up_pipe(signal.SIGCHLD)
    command = os.fork()
    if command == 0:
        os.setsid()
        become()
    control.close()
    os.chdir("/")
    os.closerange(0, 3)
    return reap_until(command, wake, watched)


def wait_for(child: int, control: socket.socket, supervisor: int) -> int:
    """Wait for the end of `child` or of the supervisor, which is its end too."""
    control.close()
    ended = os.pidfd_open(child)
    poll = select.poll()
    for watched in (ended, supervisor):
        poll.register(watched, select.POLLIN)
    if ended not in dict(poll.poll()):
        os.kill(child, signal.SIGKILL)
    return exit_code(os.waitpid(child, 0)[1])


def reap_until(command: int, wake: int, watched: list[int], stop_at: int | None = None) -> int:
    """Reap whoever ends, until it is `command`, or one of the watched processes is gone."""
    poll = select.poll()
    for descriptor in (wake, *watched):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        arrived = os.read(wake, 512) if wake in ready else b""
        if stop_at in list(arrived) or any(descriptor in ready for descriptor in watched):
            return 128 + signal.SIGKILL
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == command:
                    return exit_code(ended[1])


def wake_up_pipe(*numbers: int) -> int:
    """Return a descriptor from which the numbers of the signals that arrive are read."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end


def exit_code(status: int) -> int:
    """Return the code of a shell for it: 128 and the signal's number, where one ended the process."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def enter_namespaces(flags: int) -> None:
    """Enter new namespaces, with the same user and group numbers inside as outside."""
    # Root keeps all numbers, for then it becomes nobody; anybody else has one to keep.
    numbers = {"uid_map": os.geteuid(), "gid_map": os.getegid()}
    maps = {"setgroups": "deny", **{kind: f"{number} {number} 1" for kind, number in numbers.items()}}
    if os.geteuid() == 0:
        maps = {}
        for kind in numbers:
            with open(f"/proc/self/{kind}") as existing:
                rows = [line.split() for line in existing]
            maps[kind] = "".join(f"{first} {first} {count}\n" for first, _, count in rows)
    process = os.getpid()
    read_end, write_end = os.pipe()
    # More than one number is mapped from outside only.
    helper = os.fork()
    if helper == 0:
        os.close(write_end)
        if not os.read(read_end, 1):
            os._exit(1)
        for name, content in maps.items():
            with open(f"/proc/{process}/{name}", "w") as file:
                file.write(content)
        os._exit(0)
    call(libc.unshare, flags)
    os.write(write_end, b"+")
    if os.waitpid(helper, 0)[1] != 0:
        raise OSError("users cannot be mapped into a namespace")
    os.close(read_end)
    os.close(write_end)


def make_root(orders: dict[str, Any]) -> None:
    """Make what `view` lists the whole of the file system, and leave everything else behind."""
    call(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    # All opened before the base is covered: something may lie below it.
    opened: list[tuple[int, str]] = []
    for source, target, read_only in orders["mounts"]:
        try:
            opened.append((clone(source, read_only), target))
        except FileNotFoundError:
            # What was there a moment ago and is only read may be gone.
            if not read_only:
                raise
    devices = [(clone(f"/dev/{name}", False, devices=True), f"/dev/{name}") for name in DEVICES]
    nothing = [
        (clone("/dev/null", True, devices=True), path) for path in orders["masked"] if os.path.exists(path)
    ]
    mount_memory(BASE, "mode=755,size=4m,nr_inodes=20000")
    os.chdir(BASE)
    for folder in ("proc", "dev/pts", "dev/shm", "tmp", "old"):
        os.makedirs(folder)
    call(libc.mount, b"proc", b"proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    mount_memory("tmp", f"mode=1777,size={orders['temporary']},nr_inodes={orders['inodes']}")
    mount_memory("dev/shm", f"mode=1777,size={orders['shared']},nr_inodes=1000")
    terminals = b"newinstance,ptmxmode=0666,mode=620"
    call(libc.mount, b"devpts", b"dev/pts", b"devpts", MS_NOSUID | MS_NOEXEC, terminals)
    for link, path in (
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ):
        os.symlink(link, f"dev/{path}")
    for path in orders["folders"]:
        os.makedirs(f".{path}", exist_ok=True)
        os.chown(f".{path}", orders["user"], orders["group"])
    for target, path in orders["links"]:
        os.makedirs(os.path.dirname(f".{path}"), exist_ok=True)
        os.symlink(target, f".{path}")
    for tree, path in (*opened, *devices, *nothing):
        attach(tree, f".{path}")
    call(libc.syscall, PIVOT_ROOT, b".", b"old")
    os.chdir("/")
    call(libc.umount2, b"old", MNT_DETACH)
    os.rmdir("old")
    set_attributes(os.open("/", os.O_PATH), ATTR_RDONLY, recursive=False)
    os.chdir(orders["inside"])


def mount_memory(path: str, options: str) -> None:
    """Mount a file system in memory on the folder `path`."""
    call(libc.mount, b"tmpfs", path.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())


def clone(path: str, read_only: bool, *, devices: bool = False) -> int:
    """Return a descriptor of a mount of `path`, and what is mounted below it, that is attached nowhere yet."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    tree = call(libc.syscall, OPEN_TREE, AT_FDCWD, os.fsencode(path), flags, about=path)
    set_attributes(tree, (ATTR_RDONLY if read_only else 0) | ATTR_NOSUID | (0 if devices else ATTR_NODEV))
    return tree


def set_attributes(tree: int, attributes: int, *, recursive: bool = True) -> None:
    """Restrict a mount: read-only, no set-user-id programs, no devices."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call(libc.syscall, MOUNT_SETATTR, tree, b"", flags, wanted, len(wanted))


def attach(tree: int, path: str) -> None:
    """Attach a mount at `path`, made as it needs to be: a folder or a file."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    call(libc.syscall, MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_EMPTY_PATH, about=path)
    os.close(tree)


def bring_loopback_up() -> None:
    """Bring up 127.0.0.1, over which tests talk to themselves; there is no other interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def drop_rights(orders: dict[str, Any]) -> None:
    """Become the user the command runs as, without any capability, and for ever."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
    os.setresgid(*[orders["group"]] * 3)
    os.setresuid(*[orders["user"]] * 3)
    call(libc.prctl, PR_CAP_AMBIENT, 4, 0, 0, 0)
    call(libc.capset, struct.pack("Ii", 0x20080522, 0), bytes(24))
    call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become_bubblewrap(orders: dict[str, Any]) -> NoReturn:
    """Become bubblewrap, which does the rest."""
    reset_signals()
    program, filled = os.pipe()
    os.write(filled, orders["filter"])
    os.close(filled)
    for descriptor in (program, orders["status"]):
        os.set_inheritable(descriptor, True)
    name, *arguments = orders["command"]
    ready = ["--seccomp", str(program), "--json-status-fd", str(orders["status"])]
    execute([name, *ready, *arguments], os.environ)


def become_harmless(orders: dict[str, Any]) -> NoReturn:
    """Take on the limits and the filter of system calls, and become the command."""
    reset_signals()
    for name, most in orders["limits"].items():
        allowed = resource.getrlimit(getattr(resource, name))[1]
        limit = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(getattr(resource, name), (limit, limit))
    call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if orders["filter"]:
        program = orders["filter"]
        # struct sock_fprog: a length, and where the instructions of 8 bytes lie.
        instructions = ctypes.create_string_buffer(program, len(program))
        described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
        call(libc.prctl, PR_SET_SECCOMP, 2, described, 0, 0)
    execute(orders["command"], orders["environment"])


def reset_signals() -> None:
    """Take every signal as the kernel does: a pipeline's first program must not ignore SIGPIPE, as Python does."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def execute(command: list[str], environment: Any) -> NoReturn:
    """Become `command`, found on the path of that environment; exit as a shell does where it cannot be."""
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except (OSError, ValueError) as error:
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        os.write(2, f"{command[0]!r}: {getattr(error, 'strerror', error)}\n".encode(errors="replace"))
    os._exit(code)


def call(function: Any, *arguments: Any, about: str = "") -> int:
    """Call a C function; raise OSError where it fails."""
    result = function(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        name = getattr(function, "__name__", "call")
        raise OSError(code, f"{name}: {os.strerror(code)}", *([about] if about else []))
    return result


if __name__ == "__main__":
    main()
