"""Whatever hostile code leaves in a folder, the folder can be removed, and nothing outside is touched."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qflow_dagster.safety import folders
from tests.folders import fastest_folder
from tests.ordinary_user import pytest_as_ordinary_user

LEVELS = 30_000
# A disk takes its time for each of so many.
FAST = fastest_folder()


def nest(folder: Path, levels: int, name: str = "d", mode: int = 0o777) -> None:
    """Make folders inside each other, deeper than any path can name; each with a file and a link out."""
    program = (
        "import os, sys\nos.chdir(sys.argv[1])\n"
        "for _ in range(int(sys.argv[2])):\n"
        "    os.mkdir(sys.argv[3]); before = os.open('.', os.O_RDONLY); os.chdir(sys.argv[3])\n"
        "    open('f', 'w').close(); os.symlink('/etc', 'l'); os.chmod('f', 0)\n"
        "    os.chmod(sys.argv[3], int(sys.argv[4]), dir_fd=before); os.close(before)\n"
    )
    subprocess.run([sys.executable, "-c", program, folder, str(levels), name, str(mode)], check=True)


def test_a_folder_of_any_depth_is_removed() -> None:
    folder = Path(tempfile.mkdtemp(prefix="qflow-test-", dir=FAST))
    nest(folder, LEVELS)
    nest(folder, 200, "n" * 255)
    folders.remove(folder)
    assert not os.path.lexists(folder)
    # Every descriptor was closed again: the next one is a low number.
    with open(os.devnull) as file:  # noqa: PTH123
        assert file.fileno() < 200


def test_a_work_folder_is_gone_whatever_was_left_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(FAST))
    with folders.work_folder("qflow-test-") as made:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        (made / "work").mkdir()
        nest(made / "work", 2_000)
    assert not made.exists()


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400, 0o500, 0o1777, 0o2000])
def test_folders_that_nobody_may_enter_are_removed(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "work"
    for path in ("a/b/c", "a/d", "e"):
        (folder / path).mkdir(parents=True)
        (folder / path / "f").write_text("x")
    for path in ("a/b/c", "a/b", "a/d", "a", "e", "."):
        (folder / path).chmod(mode)
    folders.remove(folder)
    assert not os.path.lexists(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="root runs it as an ordinary user")
def test_as_an_ordinary_user() -> None:
    assert "passed" in pytest_as_ordinary_user(__file__, "-k", "nobody_may_enter or any_depth")


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "work"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner").chmod(0o500)
    (outside / "kept").write_text("x")
    folder.mkdir()
    for name, target in {
        "a": outside,
        "b": outside / "inner",
        "c": "/",
        "d": "..",
        "e": "e",
        "f": "kept",
    }.items():
        (folder / name).symlink_to(target)
    os.link(outside / "kept", folder / "hard")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"\xff\n")).mkdir()
    folders.remove(folder)
    assert not os.path.lexists(folder)
    assert (outside / "kept").read_text() == "x"
    assert stat.S_IMODE((outside / "inner").stat().st_mode) == 0o500


def test_a_link_is_no_folder_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError):  # noqa: PT011
        folders.remove(tmp_path / "link")
    assert (outside / "kept").exists()
    folders.remove(tmp_path / "missing")


def test_what_is_emptied_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "a" / "b").mkdir(parents=True)
    folder.chmod(0o755)
    folders.empty(folder)
    assert not list(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
