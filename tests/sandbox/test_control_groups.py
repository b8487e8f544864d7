"""Control groups are made where they limit something, and nowhere else."""

from pathlib import Path

import pytest

from qflow_dagster.sandbox import control_groups


def hierarchies(at: list[Path]):
    def given(memory: int, processes: int):
        yield at, {"memory.max": memory}

    return given


def test_a_folder_that_is_no_control_group_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_groups, "_hierarchies", hierarchies([tmp_path]))
    with control_groups.control_groups(2**30, 64) as groups:
        assert groups == []
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_outside_of_what_is_mounted() -> None:
    mounted = {
        Path(line.split()[1])
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2] in ("cgroup", "cgroup2")
    }
    for parents, _ in control_groups._hierarchies(2**30, 64):
        for parent in parents:
            assert any(parent.is_relative_to(root) for root in mounted)
            assert ".." not in parent.parts
