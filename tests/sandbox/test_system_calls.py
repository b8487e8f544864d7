"""System calls the sandbox refuses, each tried; and the operator's keys."""

import ctypes
import platform

import pytest

from tests.sandbox.conftest import Run

X86_64 = platform.machine() == "x86_64"
KEYCTL, ADD_KEY = (250, 248) if X86_64 else (219, 217)
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SEARCH, KEYCTL_READ, KEYCTL_DESCRIBE = 1, 10, 11, 6
SESSION = -3
DENIED = {
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "ptrace": 101,
    "process_vm_readv": 310,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "unshare": 272,
    "setns": 308,
    "bpf": 321,
    "userfaultfd": 323,
    "perf_event_open": 298,
    "kexec_load": 246,
    "init_module": 175,
    "open_by_handle_at": 304,
    "swapon": 167,
    "reboot": 169,
    "syslog": 103,
    "acct": 163,
    "quotactl": 179,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "pidfd_getfd": 438,
}


@pytest.fixture
def keyring() -> str:
    """A key in this process's session keyring, as a login has one."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    key = libc.syscall(ADD_KEY, b"user", b"qflow-test", b"SECRET-IN-KEYRING", 17, SESSION)
    if key < 0:
        pytest.skip("no keyrings here")
    return str(key)


def test_no_key_of_the_operator_is_readable(kind: str, python: Run, keyring: str) -> None:
    program = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for ring in (-1, -2, -3, -4, -5, {keyring}):
    key = libc.syscall({KEYCTL}, {KEYCTL_SEARCH}, ring, b"user", b"qflow-test", 0)
    for number in (key, {keyring}):
        held = ctypes.create_string_buffer(200)
        for call in ({KEYCTL_READ}, {KEYCTL_DESCRIBE}):
            if libc.syscall({KEYCTL}, call, number, held, 200) > 0: print(held.raw)
for file in ("/proc/keys", "/proc/key-users"):
    try: print(open(file).read())
    except OSError as error: print(error)
"""
    done = python(program)
    assert done.code == 0
    assert "SECRET" not in done.output
    assert "keyring" not in done.output
    assert "_ses" not in done.output
    assert keyring not in done.output


@pytest.mark.skipif(not X86_64, reason="the numbers are those of x86_64")
def test_what_reaches_past_the_sandbox_is_refused(kind: str, python: Run) -> None:
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {DENIED!r}.items():
    ctypes.set_errno(0)
    result = libc.syscall(number, 0, 0, 0, 0, 0)
    if result != -1 or ctypes.get_errno() != 1: print(name, result, os.strerror(ctypes.get_errno()))
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    if libc.syscall(56, flag | 17, 0, 0, 0, 0) == 0: os._exit(0)
    if ctypes.get_errno() != 1: print("clone", hex(flag))
for number in (425, 435):
    libc.syscall(number, 0, 0)
    if ctypes.get_errno() != 38: print("number", number)
import fcntl, termios, pty
main, other = pty.openpty()
for high in (0, 1 << 32):
    if libc.ioctl(other, ctypes.c_ulong(0x5412 | high), b"x") != -1 or ctypes.get_errno() != 1: print("TIOCSTI", high)
print("tried")
"""
    assert python(program).output == "tried\n"


@pytest.mark.skipif(not X86_64, reason="another architecture has no second one")
def test_calls_of_another_architecture_are_no_way_round(kind: str, python: Run) -> None:
    # keyctl by its number of 32 bits, int 0x80.
    program = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8\\x20\\x01\\x00\\x00\\xcd\\x80\\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("came back")
"""
    assert "came back" not in python(program).output
    # And by the numbers of x32.
    program = "import ctypes; l = ctypes.CDLL(None); print(l.syscall(0x40000000 + 250, 0, -3, 0, 0))"
    assert python(program).output != "0\n"
    assert python("import ctypes; print(ctypes.CDLL(None).syscall(39) > 0)").output == "True\n"


def test_what_programs_need_goes_on_working(kind: str, python: Run) -> None:
    program = """
import asyncio, multiprocessing, os, pty, socket, subprocess, tempfile, threading
assert subprocess.run(["echo", "x"], capture_output=True).stdout == b"x\\n"
done = []
thread = threading.Thread(target=done.append, args=[1]); thread.start(); thread.join(); assert done
pool = multiprocessing.get_context("fork").Pool(2)
assert pool.map(abs, [-1, 2]) == [1, 2]; pool.close(); pool.join()
one, two = socket.socketpair(); one.send(b"x"); assert two.recv(1) == b"x"
server = socket.socket(socket.AF_UNIX); server.bind(tempfile.mktemp()); server.listen()
assert pty.spawn(["true"]) == 0
assert subprocess.run(["bash", "-c", "cat <(echo y)"], capture_output=True).stdout == b"y\\n"
asyncio.run(asyncio.sleep(0))
assert multiprocessing.get_context("spawn").Semaphore
open(os.path.expanduser("~/made"), "w").write("x")
print("all")
"""
    assert python(program).output.endswith("all\n")
