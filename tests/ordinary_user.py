"""Running tests, or another program of ours, again as an ordinary user, where root runs them.

The interpreter and the project may lie in a folder that nobody else can enter. So the tests run in
a mount namespace, in which such a folder holds nothing but what they need of it.
"""

import os
import pwd
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

USER = "daemon"
PROJECT = Path(__file__).parent.parent


def pytest_as_ordinary_user(*arguments: str) -> str:
    """Run pytest with the arguments as `USER`; its output, once all passed."""
    done = run_as_ordinary_user(sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", *arguments)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def run_as_ordinary_user(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder as `USER`, with an empty home."""
    user = pwd.getpwnam(USER)
    with tempfile.TemporaryDirectory(prefix="qflow-user-") as home:
        os.chown(home, user.pw_uid, user.pw_gid)
        needed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), PROJECT.resolve()}
        script = ["set -e"]
        for closed in {closed for path in needed if (closed := _closed(path))}:
            inside = [path for path in needed if path.is_relative_to(closed)]
            for number, path in enumerate(inside):
                script += [f"mkdir -p '{home}/{number}'", f"mount --bind '{path}' '{home}/{number}'"]
            script += [f"mount -t tmpfs -o mode=755 tmpfs '{closed}'"]
            for number, path in enumerate(inside):
                script += [
                    f"mkdir -p '{path}'",
                    f"mount --bind '{home}/{number}' '{path}'",
                    f"umount '{home}/{number}'",
                ]
        script += [
            f"exec setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups --inh-caps=-all --no-new-privs "
            f"{shlex.join(command)}"
        ]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", "\n".join(script)],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            start_new_session=True,
        )


def _closed(path: Path) -> Path | None:
    """The outermost folder above `path` that others cannot enter."""
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)
