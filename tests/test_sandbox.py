"""The sandbox, tried by code that wants out: network, home, files, processes, time and memory."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qflow_dagster import sandbox
from qflow_dagster.sandbox import Limits, NotIsolated, Ran
from qflow_dagster.settings import settings

KINDS = ["bubblewrap", "namespaces"]


def works(kind: str) -> bool:
    tool = {"bubblewrap": "bwrap", "namespaces": "unshare"}[kind]
    return shutil.which(tool) is not None and sandbox.available() != "none"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if not works(request.param):
        pytest.skip(f"no {request.param} here")
    monkeypatch.setattr(sandbox, "available", lambda: request.param)
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="qflow-sandbox-"))
    outer.chmod(0o755)
    inner = outer / "work"
    inner.mkdir()
    yield inner
    shutil.rmtree(outer, ignore_errors=True)


def shell(script: str, folder: Path, **limits: int) -> Ran:
    given = {"seconds": 10, "memory": 2 * 1024**3, "processes": 60, **limits}
    return sandbox.run(["sh", "-c", script], folder, limits=Limits(**given))


def test_it_runs_writes_its_folder_and_tells_how_it_ended(kind: str, folder: Path) -> None:
    done = shell("pwd; echo made > made; exit 3", folder)
    assert (done.code, done.output, done.isolation, done.timed_out) == (3, "/work\n", kind, False)
    assert (folder / "made").read_text() == "made\n"


def test_no_network(kind: str, folder: Path) -> None:
    script = "import socket; socket.create_connection(('127.0.0.1', 1), 2)"
    done = sandbox.run(["python3", "-c", script], folder, limits=Limits(20, 2**31, 60))
    assert done.code != 0
    assert "unreachable" in done.output or "refused" in done.output
    done = shell(
        "cat /proc/net/dev | grep -v -e lo: -e Inter -e face; ls /sys/class/net 2>/dev/null; true", folder
    )
    assert "eth" not in done.output


def test_no_home_no_secrets_no_environment(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_SECRET_KEY", "planted")
    secret = Path(tempfile.mkdtemp()) / "secret"
    secret.write_text("planted")
    done = shell(
        f"env; cat {secret} /etc/shadow /root/.ssh/id_rsa; ls -a /home /root /var /run /srv ~; true", folder
    )
    assert "planted" not in done.output
    assert "root:" not in done.output


def test_the_system_cannot_be_written(kind: str, folder: Path) -> None:
    done = shell("touch /usr/x /bin/x /etc/x /opt/x; mount -t tmpfs t /usr; chroot / true; echo end", folder)
    assert done.output.endswith("end\n")
    assert not any(Path(name, "x").exists() for name in ("/usr", "/bin", "/etc", "/opt"))
    assert "CapEff:\t0000000000000000" in shell("grep CapEff /proc/self/status", folder).output


def test_an_endless_loop_ends_and_so_does_what_it_left_behind(kind: str, folder: Path) -> None:
    # A number of its own: the other kind may be tried at the same time.
    number = f"9{os.getpid()}{KINDS.index(kind)}"
    done = shell(f"(setsid sleep {number} &) ; nohup sleep {number} & while :; do :; done", folder, seconds=2)
    assert (done.timed_out, done.code) == (True, None)
    assert done.seconds < 8
    left = [p for p in psutil.process_iter(["cmdline"]) if number in (p.info["cmdline"] or [])]
    # The kernel ends them with their namespace, which may take a moment.
    assert psutil.wait_procs(left, timeout=5)[1] == []


def test_a_fork_bomb_meets_its_limit(kind: str, folder: Path) -> None:
    mark = f"bomb-{os.getpid()}-{kind}"
    done = shell(f": {mark}; f() {{ f | f & }}; f; sleep 1; echo survived", folder, seconds=4, processes=40)
    assert done.seconds < 10
    left = [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]
    assert psutil.wait_procs(left, timeout=5)[1] == []


def test_memory_and_files_have_limits(kind: str, folder: Path) -> None:
    done = sandbox.run(["python3", "-c", "x = bytearray(3 * 2**30)"], folder, limits=Limits(10, 2**30, 60))
    assert done.code != 0
    done = shell("head -c 600000000 /dev/zero > big; wc -c < big", folder)
    assert int(done.output.split()[-1]) <= sandbox.LARGEST_FILE


def test_only_the_end_of_much_output_is_kept(kind: str, folder: Path) -> None:
    done = shell("yes | head -c 3000000; echo; echo end", folder)
    assert len(done.output) <= sandbox.OUTPUT_BYTES
    assert done.output.endswith("end\n")


def test_without_isolation_nothing_is_run_unless_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: "none")
    with pytest.raises(NotIsolated, match="install bubblewrap"):
        shell("touch ran", folder)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(settings().generation, "unisolated", True)
    assert shell("touch ran", folder).isolation == "none"
    assert sandbox.not_isolated("none") == ["network", "files of this user", "other processes"]


def test_what_may_be_read_is_there_and_cannot_be_written(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own temporary folder must not hide what lies in ours.
    allowed = folder.parent / "allowed"
    allowed.mkdir()
    (allowed / "tool").write_text("known\n")
    monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{allowed}"]')
    settings.cache_clear()
    done = shell(f"cat {allowed}/tool; echo changed > {allowed}/tool", folder)
    assert done.output.startswith("known\n")
    assert (allowed / "tool").read_text() == "known\n"
    settings.cache_clear()
