"""What a role may do: its adapters, commands, hosts, paths, time limits and number of tasks at a time."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine

from qflow_dagster.execution.task_adapters import Call
from qflow_dagster.execution.task_policy import PolicyViolationError, check
from qflow_dagster.settings import settings as configured
from tests.execution.conftest import Script, do, submit, whole
from tests.ingestion.conftest import GitRepository, Ingested


@pytest.mark.parametrize(
    ("adapter", "arguments"),
    [
        ("http", {"url": "https://${run.x}@evil.com/"}),
        ("http", {"url": "${run.x}"}),
        ("files", {"paths": ["${run.x}/../../etc/passwd"]}),
    ],
)
def test_what_looks_like_a_reference_is_let_through_only_before_it_is_filled_in(
    adapter: str, arguments: dict[str, Any]
) -> None:
    check("researcher", adapter, arguments, None, filled=False)
    with pytest.raises(PolicyViolationError):
        check("researcher", adapter, arguments, None, filled=True)


@pytest.mark.parametrize(
    ("role", "adapter", "arguments", "timeout", "words"),
    [
        ("coder", "http", {"url": "https://docs.rs/x"}, None, "may not use http"),
        ("coder", "shell", {"command": ["mixer"]}, None, "may not run 'mixer'"),
        ("coder", "shell", {"command": ["./git"]}, None, "may not run './git'"),
        ("coder", "shell", {"command": "git status"}, None, "is a list of strings"),
        ("coder", "shell", {"command": ["git"]}, 301, "may take 300 s, not 301"),
        ("tester", "shell", {"command": ["git", "push"]}, None, "may not run 'git'"),
        ("critic", "shell", {"command": ["cat"]}, None, "may not use shell"),
        ("critic", "python", {}, 31, "may take 30 s"),
        (
            "researcher",
            "http",
            {"url": "https://github.com.evil.com/"},
            None,
            "may not request github.com.evil.com",
        ),
        ("researcher", "http", {"url": "https://github.com@evil.com/"}, None, "a URL with a password"),
        ("researcher", "http", {"url": "file:///etc/passwd"}, None, "is not an http or https URL"),
        ("researcher", "http", {"url": "https://evilgithub.com"}, None, "may not request"),
        ("researcher", "files", {"paths": ["../etc/passwd"]}, None, "not a path within a repository"),
        ("researcher", "files", {"paths": ["/etc/passwd"]}, None, "not a path within a repository"),
        ("researcher", "files", {"paths": ["a/.git/config"]}, None, "not a path within a repository"),
        ("architect", "shell", {"command": ["ls"]}, None, "no role 'architect'"),
    ],
)
def test_what_a_role_may_not_is_refused(
    role: str, adapter: str, arguments: dict[str, Any], timeout: float | None, words: str
) -> None:
    with pytest.raises(PolicyViolationError, match=words):
        check(role, adapter, arguments, timeout, filled=False)


def test_what_a_role_may_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    check("coder", "shell", {"command": ["git", "status"]}, 300, filled=True)
    check("researcher", "http", {"url": "https://docs.rs/serde"}, 60, filled=True)
    check("admin", "shell", {"command": ["anything"]}, 9_000, filled=True)
    check("tester", "shell", {"command": ["pytest", "-q"]}, 600, filled=True)


def test_a_value_filled_in_is_checked_before_anything_runs(engine: Engine, script: Script) -> None:
    id_ = submit(
        engine,
        script,
        {
            "name": "ask",
            "role": "researcher",
            "adapter": "http",
            "arguments": {"url": "https://${run.host}/x"},
        },
        input={"host": "evil.com"},
    )
    do(engine, script)
    [row] = whole(engine, id_)["tasks"]
    assert (row["state"], row["error"]["kind"]) == ("failed", "policy_violation")
    assert "may not request evil.com" in row["error"]["message"]


def test_files_and_commands_see_the_ingested_commit_and_nothing_else(
    engine: Engine, script: Script, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"src/a[1].py": "x = 1\n", "b.py": "y = 2\n"})
    (repository.path / "link").symlink_to("b.py")
    repository.git("add", "-A")
    repository.commit({"c.py": "z = 3\n"})
    ingested(repository)
    # In the work tree only.
    (repository.path / "b.py").write_text("y = 'not committed'\n")

    def read(name: str, path: str) -> dict[str, Any]:
        return {
            "name": name,
            "adapter": "files",
            "max_attempts": 1,
            "arguments": {"repository": "project", "paths": [path]},
        }

    tree = {"command": ["cat", "b.py"], "repository": "project"}
    id_ = submit(
        engine,
        script,
        read("odd", "src/a[1].py"),
        read("folder", "src"),
        read("link", "link"),
        read("none", "d.py"),
        {"name": "shell", "adapter": "shell", "arguments": tree},
    )
    do(engine, script)
    assert whole(engine, id_)["result"] == {
        "odd": {"src/a[1].py": "x = 1\n"},
        "shell": {"code": 0, "output": "y = 2\n"},
    }
    errors = {row["name"]: row["error"] for row in whole(engine, id_)["tasks"] if row["error"]}
    assert {name: error["kind"] for name, error in errors.items()} == dict.fromkeys(
        ("folder", "link", "none"), "not_found"
    )


def test_a_role_has_its_limit_of_tasks_at_a_time(
    engine: Engine, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qflow_dagster.settings.improvement_loop import RoleSettings

    monkeypatch.setitem(configured().execution.roles, "coder", RoleSettings(concurrency=2))
    running, most = [0], [0]

    def count(call: Call) -> None:
        with script.lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.05)
        with script.lock:
            running[0] -= 1

    script.answers["t"] = count
    id_ = submit(engine, script, *({"name": f"t-{n}"} for n in range(12)))
    do(engine, script)
    assert most[0] == 2
    assert whole(engine, id_)["state"] == "completed"
