"""Bad input gets one line that names the thing and the remedy, exit code 1 or 2, and loses nothing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It failed with `code` and one line on stderr that has all `words`; nothing on stdout."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    assert done.stdout == ""
    assert done.returncode == code


def make_repository(folder: Path, *, commit: bool = True) -> Path:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    if commit:
        (folder / "a.py").write_text("def f():\n    return 1\n")
        subprocess.run(["git", "-C", str(folder), "add", "."], check=True)
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", "-C", str(folder), *identity, "commit", "--quiet", "-m", "a"], check=True)
    return folder


def test_a_path_that_is_no_repository(qflow: Run, home: Path) -> None:
    refused(qflow("run", str(home)), 2, str(home), "git")
    refused(qflow("run", "/no/such/folder"), 2, "/no/such/folder")
    assert json.loads(qflow("repos", "list", "--json").stdout) == []


def test_an_unreachable_url(qflow: Run) -> None:
    refused(qflow("run", "https://127.0.0.1:1/x.git"), 1, "https://127.0.0.1:1/x.git")
    refused(qflow("run", "file:///no/such/repository"), 1, "/no/such/repository")


def test_a_secret_in_a_url_is_not_repeated(qflow: Run) -> None:
    done = qflow("run", "https://ada:planted-secret@127.0.0.1:1/x.git")
    assert done.returncode in (1, 2)
    assert "planted-secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_repository_without_commits(qflow: Run, home: Path) -> None:
    empty = make_repository(home / "empty", commit=False)
    refused(qflow("run", str(empty)), 1, "empty", "commit")


def test_a_missing_revision_and_then_a_run_that_simply_works(qflow: Run, home: Path) -> None:
    checkout = make_repository(home / "shop")
    refused(qflow("run", str(checkout), "--rev", "no-such-branch"), 1, "no-such-branch")
    done = qflow("run", str(checkout), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["repository"], result["files"], result["functions"]) == ("shop", 1, 1)
    assert set(result) >= {"commit", "lines", "languages", "hotspots", "runs", "seconds"}


def test_a_file_that_cannot_be_written(qflow: Run, home: Path) -> None:
    file = str(home / "no" / "folder" / "out.csv")
    for command in (("rules", "new"), ("work", "export"), ("work", "picture", "aging")):
        refused(qflow(*command, file), 2, file, "cannot be written", "another path")


def test_a_filter_that_nothing_can_fit(qflow: Run) -> None:
    for command in (
        "work list --level",
        "work list --state",
        "work list --source",
        "tasks list --state",
        "suggestions list --state",
        "knowledge list --state",
        "knowledge list --kind",
        "sparc list --state",
        "agent assignments --state",
    ):
        refused(qflow(*command.split(), "nope"), 2, "'nope'; choose one of: ")


def test_an_id_that_is_none_names_the_list_to_look_at(qflow: Run) -> None:
    for command, listed in {
        "tasks show": "tasks list",
        "work show": "work list",
        "sparc show": "sparc list",
        "knowledge show": "knowledge list",
        "agent assignments": "agent assignments",
        "work decide --apply": "work texts",
    }.items():
        refused(qflow(*command.split(), "zz"), 2, f"see `qflow {listed}`")


def test_wrong_settings(qflow: Run) -> None:
    refused(qflow("config", QFLOW_INGESTION_PROCESSES="0"), 2, "QFLOW_INGESTION_PROCESSES")
    refused(qflow("repos", "list", QFLOW_DATABASE_URL="mysql://a/b"), 2, "QFLOW_DATABASE_URL")
    done = qflow("repos", "list", QFLOW_DATABASE_URL="planted-secret")
    refused(done, 2, "QFLOW_DATABASE_URL")
    assert "planted-secret" not in done.stderr


def test_a_database_that_is_down(qflow: Run) -> None:
    url = "postgresql://ada:planted-secret@127.0.0.1:1/q"
    done = qflow("repos", "list", QFLOW_DATABASE_URL=url)
    refused(done, 1, "database", "QFLOW_DATABASE_URL")
    assert "planted-secret" not in done.stderr


def test_an_unknown_name_is_named(qflow: Run) -> None:
    refused(qflow("repos", "show", "nothing"), 1, "nothing", "qflow repos list")
    refused(qflow("hotspots"), 2, "qflow run")
    refused(qflow("hotspots", "nothing"), 1, "nothing")


def test_wrong_usage_has_exit_code_2(qflow: Run) -> None:
    assert qflow("no-such-noun").returncode == 2
    assert qflow("repos", "list", "--limit", "0").returncode == 2


def test_words_in_brackets_are_printed_as_they_are(qflow: Run) -> None:
    refused(qflow("run", "/no/[red]such[/red]/[folder"), 2, "/no/[red]such[/red]/[folder")
