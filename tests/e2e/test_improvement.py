"""The improvement loop on a real daemon: a run, an approval in the page, a commit on its branch, verified."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import requests
from sqlalchemy import Engine, text

from qflow_dagster.settings import settings
from tests.e2e.test_dagster import QFLOW, environment, eventually, free_port, home
from tests.e2e.test_operations import answers
from tests.improvement_loop import MUTABLE
from tests.ingestion.conftest import GitRepository
from tests.web.test_inbox import form_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
__all__ = ["environment", "home"]


@pytest.fixture(autouse=True)
def same_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that seals addresses is the one the started processes use."""
    monkeypatch.setattr(settings(), "home", home)


def test_run_approve_in_the_page_commit_on_the_branch_outcome_verified(
    environment: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    project = GitRepository(tmp_path / "project")
    breaks = "def keep(rows, seen=[]):\n    return rows\n"
    check = "import shop\nassert shop.collect(1) == [1]\nassert 'seen=[]' in open('odd.py').read()\n"
    head = project.commit({"shop.py": MUTABLE, "odd.py": breaks, "check.py": check})
    port = free_port()
    environment |= {
        "QFLOW_INBOX_PORT": str(port),
        "QFLOW_GENERATION_TEST_COMMANDS": json.dumps({"project": "python3 check.py"}),
    }
    done = subprocess.run(
        [*QFLOW, "run", str(project.path), "--json"], env=environment, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    # The change of odd.py breaks the tests: it never reaches a person, and that of shop.py does without it.
    [approval] = result["approvals"]
    assert result["candidates"] == {"passed": 1}
    inbox = f"http://127.0.0.1:{port}"
    up = subprocess.Popen(
        [*QFLOW, "up", "--port", str(port)],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: answers(f"{inbox}/health/ready") or up.poll() is not None, "the inbox answers")
        assert up.poll() is None, up.communicate()[1]
        page = requests.get(f"{inbox}/approvals/{approval}", timeout=30)
        assert "shop.py" in page.text
        assert "odd.py" not in page.text
        answer = requests.post(
            f"{inbox}/approvals/{approval}", {**form_of(page.text), "decision": "approve"}, timeout=30
        )
        assert answer.ok

        def state() -> str:
            with engine.connect() as connection:
                return str(connection.scalar(text("SELECT status FROM workflows WHERE type = 'suggestion'")))

        eventually(lambda: state() == "verified", "the edit is applied and verified")
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        _, words = up.communicate(timeout=180)
    assert up.returncode == 0, words
    [branch] = project.git("for-each-ref", "--format=%(refname:short)", "refs/heads/qflow").split()
    assert branch == result["suggestions"][0]["branch"]
    assert f"Qflow-Approval: {approval}" in project.git("show", "-s", "--format=%B", branch)
    assert "found=None" in project.git("show", f"{branch}:shop.py")
    assert project.git("rev-parse", "main") == head
    assert project.git("status", "--porcelain") == ""
