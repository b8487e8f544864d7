"""The sandbox, tried by code that wants out: network, home, files, processes, memory."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from qflow_dagster.sandbox import Limits, NotIsolatedError, Packages, orders, run, supervision
from qflow_dagster.sandbox.control_groups import control_groups
from qflow_dagster.settings import settings
from tests.sandbox.conftest import Run

# The fixture `kind` puts another in its place.
AVAILABLE = supervision.available


def test_it_runs_writes_its_folder_and_tells_how_it_ended(kind: str, folder: Path, shell: Run) -> None:
    done = shell("pwd; echo made > made; exit 3")
    assert (done.code, done.output, done.isolation, done.timed_out) == (3, "/work\n", kind, False)
    assert (folder / "made").read_text() == "made\n"
    assert shell("kill -TERM $$").code == 128 + 15
    assert run(["no-such-program"], folder).code == 127
    assert run(["/usr"], folder).code == 126


def test_the_strongest_isolation_that_is_installed_is_found() -> None:
    supervision._works.clear()
    assert supervision.available() == ("namespaces" if shutil.which("bwrap") is None else "bubblewrap")


def test_it_reads_what_it_is_given_and_may_leave_it_unread(kind: str, folder: Path) -> None:
    text = "ä line\n" * 200_000
    assert run(["wc", "-l"], folder, stdin=text).output.strip() == "200000"
    assert run(["true"], folder, stdin=text).code == 0


def test_no_network_but_itself(kind: str, python: Run) -> None:
    done = python(
        "import socket; print(socket.if_nameindex()); socket.create_connection(('192.0.2.1', 80), 2)"
    )
    assert "[(1, 'lo')]" in done.output
    assert "Network is unreachable" in done.output
    program = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"heard"), daemon=True).start()
print(socket.create_connection(("localhost", server.getsockname()[1]), 2).recv(9))
"""
    assert python(program).output == "b'heard'\n"


def test_packages_are_seen_and_cannot_be_changed(kind: str, folder: Path, tmp_path: Path) -> None:
    # Whoever reads them inside is nobody.
    tmp_path.chmod(0o755)
    (tmp_path / "tool").write_text("#!/bin/sh\necho ran $QFLOW_TEST\n")
    (tmp_path / "tool").chmod(0o755)
    (folder / "inner").mkdir()
    packages = Packages(
        mounts=(
            (str(tmp_path), "/packages/of/tests"),
            (str(tmp_path / "tool"), "/.programs/single"),
            (str(tmp_path), "/work/inner"),
        ),
        variables={"QFLOW_TEST": "well"},
        programs=("/packages/of/tests",),
    )
    script = "tool; cat /.programs/single /work/inner/tool | wc -l; for path in /packages/of/tests /work/inner /packages; do"
    script += " touch $path/new 2>/dev/null && echo written; done; { echo x >> /.programs/single; } 2>/dev/null; touch /work/new"
    done = run(["sh", "-c", script], folder, packages=packages)
    assert done.output.split() == ["ran", "well", "4"]
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]
    assert (folder / "new").exists()


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH", "AF_TIPC"])
def test_no_socket_that_a_network_namespace_does_not_hold(kind: str, python: Run, family: str) -> None:
    # A virtual machine's host answers on AF_VSOCK, whatever the namespace.
    done = python(f"import socket; socket.socket(socket.{family}, socket.SOCK_STREAM)")
    assert "Operation not permitted" in done.output


def test_no_home_no_secrets_no_environment(kind: str, shell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_SECRET_KEY", "planted")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    with tempfile.NamedTemporaryFile() as secret:
        secret.write(b"planted")
        secret.flush()
        done = shell(
            f"env; cat {secret.name} /etc/shadow ~root/.ssh/id_rsa; cat /proc/1/environ; "
            "ls -a /home /var /run /srv /mnt /sys ~root/.config /etc/ssl/private; true"
        )
    assert "planted" not in done.output
    assert "root:" not in done.output


def test_the_system_cannot_be_written(kind: str, shell: Run) -> None:
    places = "/usr /bin /etc /opt /dev /proc /root / /usr/local /var"
    done = shell(f"for at in {places}; do touch $at/x 2>&1; done; chroot / true; echo end")
    assert done.output.endswith("end\n")
    assert shell(f"for at in {places}; do ls -d $at/x 2>/dev/null; done; true").output == ""
    assert not any(Path(place, "x").exists() for place in places.split())


def test_nothing_of_root_is_left(kind: str, shell: Run) -> None:
    status = shell("cat /proc/self/status").output
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{capabilities}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert shell("id -u").output.strip() == str(os.geteuid() or orders.NOBODY)


def test_the_first_process_cannot_be_looked_into(kind: str, shell: Run) -> None:
    done = shell(
        "echo $$; for part in mem environ maps; do head -c 1 /proc/1/$part && echo read; done; ls /proc/1/fd"
    )
    assert done.output.split()[0] != "1"
    assert "read" not in done.output.split()


def test_a_fork_bomb_meets_its_limit(kind: str, shell: Run) -> None:
    done = shell("f() { f | f & }; f; sleep 0.5; echo survived", seconds=10, processes=40)
    assert done.seconds < 20


def test_memory_and_files_have_limits(kind: str, python: Run, shell: Run) -> None:
    assert python("x = bytearray(3 * 2**30)", memory=2**30).code != 0
    done = shell("head -c 600000000 /dev/zero > big; wc -c < big")
    assert int(done.output.split()[-1]) <= orders.MAX_FILE
    # Shared memory of the old kind counts for no process.
    done = python("import ctypes; print(ctypes.CDLL(None).shmget(0, 2**30, 0o1600))")
    assert done.output == "-1\n"


def memory_can_be_limited_in_sum() -> bool:
    with control_groups(2**30, 64) as groups:
        return any(
            (Path(group).parent / name).exists()
            for group in groups
            for name in ("memory.max", "memory.limit_in_bytes")
        )


@pytest.mark.skipif(not memory_can_be_limited_in_sum(), reason="no control groups can be made here")
def test_memory_is_limited_in_sum_where_control_groups_can_be_made(kind: str, python: Run) -> None:
    program = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(b"x") * 200_000_000
        time.sleep(2); os._exit(0)
print(sum(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in range(8)), "ended")
"""
    done = python(program, memory=256 * 1024**2)
    assert done.output != "0 ended\n"


def test_only_the_end_of_much_output_is_kept(kind: str, shell: Run) -> None:
    done = shell("yes | head -c 100000000; echo; echo end")
    assert len(done.output) <= supervision.OUTPUT_BYTES
    assert done.output.endswith("end\n")


def test_without_isolation_nothing_is_run_unless_allowed(
    folder: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "available", lambda: "none")
    with pytest.raises(NotIsolatedError, match="user namespaces"):
        shell("touch ran")
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(settings().generation, "unisolated", True)
    assert shell("touch ran").isolation == "none"
    assert (folder / "ran").exists()


def test_without_the_library_nothing_is_run_and_the_message_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> bytes:
        raise supervision.SyscallFilterError("libseccomp is missing: apt-get install libseccomp2")

    for module in (supervision, orders):
        monkeypatch.setattr(module, "compiled", missing)
    supervision._works.clear()
    try:
        with pytest.raises(NotIsolatedError, match="libseccomp2"):
            run(["true"], folder, limits=Limits(10, 2**30, 60))
    finally:
        supervision._works.clear()


def test_what_may_be_read_is_there_and_cannot_be_written(
    kind: str, folder: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own temporary folder must not hide what lies in ours.
    allowed = folder.parent / "allowed"
    allowed.mkdir()
    (allowed / "tool").write_text("known\n")
    monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{allowed}"]')
    done = shell(f"cat {allowed}/tool; echo changed > {allowed}/tool")
    assert done.output.startswith("known\n")
    assert (allowed / "tool").read_text() == "known\n"


def test_a_folder_that_only_its_owner_may_enter_is_worked_in(
    kind: str, folder: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o700)
    done = shell("touch made && grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status")
    assert [line.split()[1] for line in done.output.splitlines() if "Bnd" not in line] == ["0" * 16] * 4
    if os.geteuid() == 0 or kind == "namespaces":
        assert "CapBnd:\t" + "0" * 16 in done.output
    assert (folder / "made").exists()


def test_what_works_is_found_whatever_the_file_mode_mask(kind: str) -> None:
    supervision._works.clear()
    before = os.umask(0o077)
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = supervision._run(kind, ["true"], Path(folder), Limits(10, 2**30, 60), "")  # type: ignore[arg-type]
        assert done.code == 0
        assert AVAILABLE() == ("namespaces" if shutil.which("bwrap") is None else "bubblewrap")
    finally:
        os.umask(before)


def test_a_sandbox_that_cannot_be_made_is_not_the_commands_failure(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = orders.view()
    impossible = given._replace(mounts=[*given.mounts, ("/usr/bin", "/etc/passwd")])
    monkeypatch.setattr(orders, "view", lambda: impossible)
    with pytest.raises(NotIsolatedError, match="cannot be set up"):
        run(["true"], folder)
    # What failed once is tried again.
    supervision._works.clear()
    assert AVAILABLE() == "none"
    monkeypatch.setattr(orders, "view", lambda: given)
    assert AVAILABLE() != "none"
    assert run(["sh", "-c", "exit 1"], folder).code == 1


def test_what_vanishes_before_it_is_mounted_is_not_missed(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = orders.view()
    gone = given._replace(mounts=[*given.mounts, ("/opt/vanished", "/opt/vanished")])
    monkeypatch.setattr(orders, "view", lambda: gone)
    assert run(["true"], folder).code == 0


def test_bubblewrap_that_nothing_of_ours_could_end_is_not_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The launcher's own namespaces are refused, and bubblewrap would work.
    if shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap here")
    refusing = tmp_path / "launcher.py"
    text = supervision.LAUNCHER.read_text()
    refusing.write_text(
        text.replace("    call(libc.unshare, flags)\n", "    raise PermissionError('refused')\n")
    )
    assert refusing.read_text() != text
    monkeypatch.setattr(supervision, "LAUNCHER", refusing)
    monkeypatch.setattr(supervision, "available", lambda: "bubblewrap")
    with pytest.raises(NotIsolatedError, match="refused"):
        run(["touch", "ran"], folder)
    assert list(folder.iterdir()) == []
