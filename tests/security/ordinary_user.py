"""Running a program of ours as an ordinary user, although Python and the checkout may lie in root's closed home.

In a mount namespace of its own the closed folder is replaced by an open one that holds just what the
program needs; the machine itself is not changed.
"""

import os
import shlex
import sys
from pathlib import Path

USER = "nobody"
ROOT = Path(__file__).parents[2]


def command(arguments: list[str], home: Path) -> list[str]:
    """What root runs so that `arguments` run as an ordinary user, whose home is the folder `home`."""
    needed = {
        ROOT,
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(os.path.realpath(sys.executable)).parents[1],
    }
    closed: dict[Path, list[Path]] = {}
    for path in sorted(needed):
        if gate := next(
            (parent for parent in (*reversed(path.parents), path) if not parent.stat().st_mode & 1), None
        ):
            closed.setdefault(gate, []).append(path)
    lines = [
        "set -e",
        "mount --make-rprivate /",
        "hold=$(mktemp -d)",
        'mount -t tmpfs -o mode=755 tmpfs "$hold"',
    ]
    for number, (gate, paths) in enumerate(closed.items()):
        for index, path in enumerate(paths):
            lines += [
                f'mkdir -p "$hold/{number}.{index}"',
                f'mount --bind {shlex.quote(str(path))} "$hold/{number}.{index}"',
            ]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(gate))}"]
        for index, path in enumerate(paths):
            quoted = shlex.quote(str(path))
            lines += [f"mkdir -p {quoted}", f'mount --bind "$hold/{number}.{index}" {quoted}']
    lines += [
        f"chown {USER} {shlex.quote(str(home))}",
        f"exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME={shlex.quote(str(home))} LANG=C.UTF-8 TMPDIR=/tmp "
        f'setpriv --reuid={USER} --regid=$(id -g {USER}) --clear-groups -- "$@"',
    ]
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines), "sh", *arguments]
