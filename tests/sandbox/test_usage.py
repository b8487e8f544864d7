"""What a command writes is bounded, in its folder, its temporary folders and its output."""

from pathlib import Path

import pytest

from qflow_dagster.sandbox import orders, usage
from tests.sandbox.conftest import Run

MB = 1024**2


def test_the_temporary_folders_have_a_size(kind: str, shell: Run) -> None:
    for folder, size in (("/tmp", orders.MAX_TEMPORARY), ("/dev/shm", orders.MAX_SHARED)):
        done = shell(f"stat -f -c '%S %b' {folder}")
        block, blocks = map(int, done.output.split())
        assert block * blocks <= size
    done = shell("for n in 1 2 3; do head -c 100000000 /dev/zero > /dev/shm/$n; done; du -sb /dev/shm")
    assert int(done.output.splitlines()[-1].split()[0]) <= orders.MAX_SHARED + 4096
    assert "No space left" in done.output


def test_nothing_else_of_the_root_can_be_written(kind: str, shell: Run) -> None:
    done = shell(
        "for at in $(find / -path /proc -prune -o -type d -print 2>/dev/null); do case $at in /work*|/tmp*|/dev/shm*|/dev/pts) ;; *) test -w $at && echo $at;; esac; done; true"
    )
    assert done.output.split() == []


def test_a_folder_that_grows_past_its_limit_ends_the_command(kind: str, folder: Path, shell: Run) -> None:
    done = shell("for n in $(seq 400); do head -c 1000000 /dev/urandom > $n; done; sleep 20", disk=100 * MB)
    assert done.code == 137
    assert done.seconds < 20
    assert "more than 100 MB" in done.output
    assert not done.timed_out


def test_a_folder_of_many_small_files_does_too(
    kind: str, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_ENTRIES", 20_000)
    done = shell("seq 60000 | xargs touch; sleep 20")
    assert done.code == 137


def test_what_is_within_the_limit_is_left_alone(kind: str, shell: Run) -> None:
    done = shell("head -c 50000000 /dev/urandom > big; sleep 1; rm big; echo done", disk=100 * MB)
    assert (done.code, done.output) == (0, "done\n")


def test_what_others_write_ends_nobody(folder: Path, tmp_path: Path) -> None:
    watch = usage.Usage(folder, MB)
    (tmp_path / "other").write_bytes(b"x" * 8 * MB)
    assert not watch.exceeded()
    (folder / "ours").write_bytes(b"x" * 8 * MB)
    assert usage.Usage(folder, MB)._count_exceeds()


@pytest.mark.parametrize(
    "hiding",
    [
        # Folders deeper than the longest path; a closed folder; files that no folder names.
        "for n in range(60): os.mkdir('d' * 200); os.chdir('d' * 200)\nwrite(open('big', 'wb'))",
        "os.mkdir('closed'); write(open('closed/big', 'wb')); os.chmod('closed', 0)",
        "held = open('big', 'wb'); os.unlink('big'); write(held)",
        "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\nheld = open('big', 'wb'); os.unlink('big'); write(held)",
        "for n in range(300): os.mkdir('d'); os.chdir('d')\nwrite(open('big', 'wb'))",
    ],
    ids=["deep", "closed", "unlinked", "unlinked by one that hides", "deeper"],
)
def test_what_is_hidden_from_the_count_counts(kind: str, folder: Path, python: Run, hiding: str) -> None:
    done = python(
        "import os, time\n"
        "def write(file):\n    for n in range(300): file.write(os.urandom(1000000))\n    file.flush()\n"
        f"{hiding}\ntime.sleep(20)\n",
        disk=100 * MB,
    )
    assert done.code == 137
    assert done.seconds < 20
    assert "more than 100 MB" in done.output
