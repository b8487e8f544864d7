"""The system calls a sandboxed command may not make, as a program for the kernel (seccomp).

Belongs here: the list, and compiling it. Does not belong here: loading it (`launcher`, bubblewrap).

The list takes away what reaches past namespaces (keyrings, other processes' memory, machines'
sockets) and what has been the way into the kernel (new namespaces, mounts, bpf, io_uring,
userfaultfd, perf). Programs of another architecture than the machine's own are ended: their
calls have other numbers.
"""

import errno
import os
from functools import cache

from qflow_dagster.errors import QflowError

NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
DENIED = (
    # Keys of the operator; other processes.
    "keyctl",
    "add_key",
    "request_key",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    # Mounts and namespaces.
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "open_by_handle_at",
    # The kernel's larger surfaces.
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "fanotify_init",
    "lookup_dcookie",
    "vhangup",
    # The machine.
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "iopl",
    "ioperm",
    "swapon",
    "swapoff",
    "reboot",
    "quotactl",
    "acct",
    "syslog",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "nfsservctl",
    "uselib",
    "_sysctl",
    "move_pages",
    "migrate_pages",
)
# By number: libraries older than the kernel do not know their names. The same on all architectures.
DENIED_NUMBERS = (
    428,  # open_tree
    429,  # move_mount
    430,  # fsopen
    431,  # fsconfig
    432,  # fsmount
    433,  # fspick
    438,  # pidfd_getfd
    440,  # process_madvise
    442,  # mount_setattr
    443,  # quotactl_fd
    457,  # statmount
    458,  # listmount
    467,  # open_tree_attr
)
# What libraries try first and do without where the kernel has none: io_uring, and clone3, whose
# flags lie in memory that a filter cannot see.
MISSING_NUMBERS = (425, 426, 427, 435)
# Of sockets only what stays inside: AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, which lists interfaces.
# AF_VSOCK, for one, reaches the machine's host whatever the network namespace.
SOCKETS = {1, 2, 10, 16}
# Typing into a terminal that somebody else reads.
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
# Shared memory of the old kind counts for no process; a database's is a few bytes.
SHARED_SEGMENT = 65_536
LOW_HALF = 0xFFFFFFFF


class SyscallFilterError(QflowError):
    """The filter cannot be made here."""


@cache
def compiled() -> bytes:
    """Return the filter, as the kernel takes it.

    Raises:
        SyscallFilterError: the library that compiles it is missing.
    """
    try:
        # Imported late: it looks for its C library at once.
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise SyscallFilterError(
            f"libseccomp is missing ({error}), without which nothing is run in a sandbox: "
            "install it (apt-get install libseccomp2, dnf install libseccomp)"
        ) from None

    allowed = seccomp.SyscallFilter(seccomp.ALLOW)
    allowed.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    refused, missing = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)

    def refuse(syscall: str | int, *conditions: seccomp.Arg, action: int = refused) -> None:
        # A name that this architecture has no call of has no number.
        if isinstance(syscall, int) or seccomp.resolve_syscall(seccomp.Arch.NATIVE, syscall) >= 0:
            allowed.add_rule(action, syscall, *conditions)

    for syscall in (*DENIED, *DENIED_NUMBERS):
        refuse(syscall)
    for number in MISSING_NUMBERS:
        refuse(number, action=missing)
    for flag in NAMESPACES:
        refuse("clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in (TIOCSTI, TIOCLINUX):
        refuse("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, LOW_HALF, request))
    for call in ("socket", "socketpair"):
        for family in set(range(max(SOCKETS))) - SOCKETS:
            refuse(call, seccomp.Arg(0, seccomp.MASKED_EQ, LOW_HALF, family))
        refuse(call, seccomp.Arg(0, seccomp.GT, max(SOCKETS)))
    refuse("shmget", seccomp.Arg(1, seccomp.GT, SHARED_SEGMENT), action=seccomp.ERRNO(errno.EINVAL))
    descriptor = os.memfd_create("filter")
    with os.fdopen(descriptor, "w+b") as program:
        allowed.export_bpf(program)
        program.seek(0)
        return program.read()
