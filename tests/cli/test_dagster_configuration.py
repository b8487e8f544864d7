"""The operator's `dagster.yaml` is merged with the project's, shown by `qflow config`, and never written to."""

from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

from qflow_dagster.cli import config, dagster_configuration
from qflow_dagster.errors import UsageError
from qflow_dagster.settings import settings
from tests.object_storage import object_storage


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings(), "home", tmp_path)
    (tmp_path / "dagster").mkdir()
    return tmp_path / "dagster" / "dagster.yaml"


def written() -> dict:
    return yaml.safe_load((dagster_configuration.write_instance() / "dagster.yaml").read_text())


def test_without_a_file_of_the_operators_the_defaults_hold(own: Path) -> None:
    assert written() == dagster_configuration.defaults()
    assert not own.exists()


def test_the_operators_file_survives_and_says_what_differs(own: Path) -> None:
    text = (
        "# MY EDIT\n"
        "concurrency: {runs: {max_concurrent_runs: 10}}\n"
        "compute_logs: {module: dagster_aws.s3.compute_log_manager, class: S3ComputeLogManager, config: {bucket: b}}\n"
        "retention:\n"
    )
    own.write_text(text)
    result, ours = written(), dagster_configuration.defaults()
    assert own.read_text() == text
    assert result["concurrency"]["runs"]["max_concurrent_runs"] == 10
    assert (
        result["concurrency"]["runs"]["tag_concurrency_limits"]
        == ours["concurrency"]["runs"]["tag_concurrency_limits"]
    )
    assert result["compute_logs"]["config"] == {"bucket": "b"}
    assert "retention" not in result
    shown = {row["setting"]: (row["value"], row["meaning"]) for row in config._dagster_rows()}
    assert shown["dagster.yaml: concurrency.runs.max_concurrent_runs"] == ("10", "the default is 12")
    assert shown["dagster.yaml: retention"][0] == "(removed)"
    assert shown["dagster.yaml: compute_logs"][1] == "new"
    assert len(shown) == 3


def test_logs_of_runs_can_be_kept_on_object_storage(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text(
        "storage: {sqlite: {base_dir: " + str(own.parent) + "}}\n"
        "run_launcher:\n"
        "compute_logs: {module: dagster_aws.s3, class: S3ComputeLogManager, config: {bucket: qflow, prefix: logs}}\n"
    )
    instance = str(dagster_configuration.write_instance())
    with object_storage(monkeypatch) as bucket:
        with (
            DagsterInstance.from_config(instance) as of_the_worker,
            of_the_worker.compute_log_manager.capture_logs(["run", "compute_logs", "step"]),
        ):
            print("measured 12 files")
        for file in (own.parent / "instance").rglob("*.out"):
            file.unlink()
        # The process that shows the page is on another machine.
        with DagsterInstance.from_config(instance) as of_the_page:
            logs = of_the_page.compute_log_manager.get_log_data(["run", "compute_logs", "step"])
        assert b"measured 12 files\n" in (logs.stdout or b"")
        assert all(each.key.startswith("logs/") for each in bucket.objects.all())


def test_another_storage_takes_the_place_of_ours(own: Path) -> None:
    own.write_text("storage: {sqlite: {base_dir: /somewhere}}\n")
    assert written()["storage"] == {"sqlite": {"base_dir": "/somewhere"}}


def test_what_earlier_versions_stored_moves_along(own: Path) -> None:
    (own.parent / "storage").mkdir()
    (own.parent / "storage" / "log").write_text("kept")
    assert (dagster_configuration.write_instance() / "storage" / "log").read_text() == "kept"


@pytest.mark.parametrize("content", ["a: [", "- 1\n", "text", "2026-99-99: {}\n", "\x00"])
def test_an_invalid_file_is_refused_with_its_name(own: Path, content: str) -> None:
    own.write_text(content)
    with pytest.raises(UsageError, match=r"dagster\.yaml"):
        written()
    assert own.read_text() == content
