"""Folders that only their owner can enter, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from qflow_dagster.safety.key_files import kept_key
from qflow_dagster.safety.private_folders import close_to_others, private_folder


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def others(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o067


def test_a_folder_is_made_private_and_an_open_one_is_closed(tmp_path: Path) -> None:
    assert others(private_folder(tmp_path / "new")) == 0
    open_one = tmp_path / "open"
    open_one.mkdir(mode=0o777)
    (open_one / "kept").write_text("kept")
    private_folder(open_one)
    assert others(open_one) == 0
    assert (open_one / "kept").read_text() == "kept"


def test_all_in_a_folder_is_closed_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    (outside / "file").write_text("not ours")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("x")
    (folder / "inner" / "tool").write_text("x")
    (folder / "inner" / "tool").chmod(0o755)
    (folder / "to_folder").symlink_to(outside)
    (folder / "to_file").symlink_to(outside / "file")
    (tmp_path / "itself").symlink_to(outside)
    close_to_others(folder)
    close_to_others(tmp_path / "itself")
    assert [path for path in folder.rglob("*") if not path.is_symlink() and others(path)] == []
    assert stat.S_IMODE((folder / "inner" / "tool").stat().st_mode) == 0o700
    assert stat.S_IMODE(outside.stat().st_mode) == 0o777
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o666


def test_a_key_lies_in_a_private_folder(tmp_path: Path) -> None:
    kept_key(tmp_path / "home" / "key", lambda: b"key", instead="")
    assert others(tmp_path / "home") == others(tmp_path / "home" / "key") == 0
