"""The owner of the other end of a connection within this machine, according to the kernel.

Belongs here: looking up the owner of a socket (Linux). Does not belong here: what that owner may do
(`access`).
"""

import ipaddress
import os
import pwd
import struct
import sys
from pathlib import Path

TABLES = {4: ("/proc/net/tcp", "/proc/net/tcp6"), 6: ("/proc/net/tcp6",)}
OWNERS_AVAILABLE = sys.platform == "linux"
# Rows may shift while the kernel writes the table.
ATTEMPTS = 3

Address = tuple[str, int]


def socket_owner(client: Address, server: Address) -> int | None:
    """Return the user id that owns the `client` end of a TCP connection between two addresses of this machine.

    None if it is unknown: for a connection that the client has closed, the table says 0, wrongly.
    """
    try:
        tables = TABLES[ipaddress.ip_address(client[0]).version]
    except ValueError:
        return None
    for _ in range(ATTEMPTS):
        for table in tables:
            ends = b" %b %b " % (_hexadecimal(client, table), _hexadecimal(server, table))
            try:
                _, separator, rest = Path(table).read_bytes().partition(ends)
            except OSError:
                continue
            if separator:
                # Columns: state, queues, timer, retransmits, user, time-out, inode.
                fields = rest.split(maxsplit=7)
                return int(fields[4]) if fields[6] != b"0" else None
    return None


def user_name(uid: int) -> str:
    """Return the name of a user of this system; the number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_name() -> str:
    """Return the name of the user this process runs as: not what its environment claims."""
    return user_name(os.geteuid())


def _hexadecimal(address: Address, table: str) -> bytes:
    """Format an address as in the table: groups of 32 bits in the machine's byte order."""
    ip = ipaddress.ip_address(address[0])
    packed = ip.packed
    if ip.version == 4 and table.endswith("6"):
        packed = bytes(10) + b"\xff\xff" + packed
    groups = struct.unpack(f"={len(packed) // 4}I", packed)
    return b"%b:%04X" % (b"".join(b"%08X" % group for group in groups), address[1])
