"""Approved changes whose target branch has moved since: committed on its head, requested again, or ended."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from qflow_dagster.agents import edit_records, edit_verification, edits, target_changes
from qflow_dagster.approvals import records
from qflow_dagster.ingestion import repositories
from qflow_dagster.quantumflow import get_events
from tests.agents.conftest import branches, untouched
from tests.agents.test_edit_lifecycle import CODE, CONFLICT, MOVED
from tests.improvement_loop import MUTABLE, Loop


def approved(loop: Loop, files: dict[str, str | bytes]) -> dict[str, Any]:
    """Commit files with one finding; return its suggestion, approved."""
    loop.repository.commit(files)
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    return suggestion


def test_a_change_is_committed_on_the_head_if_it_is_the_same_there(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": CODE})
    base = loop.repository.git("rev-parse", "HEAD")
    head = loop.repository.commit({"a.py": MOVED, "b.py": "x = 1\n"})
    [applied] = loop.apply()
    assert applied.problem is None
    assert loop.repository.git("rev-parse", f"{suggestion['branch']}~1") == head
    assert loop.repository.git("diff", "--name-only", "main", suggestion["branch"]) == "a.py"
    assert loop.state(suggestion["approval"]) == "consumed"
    with loop.engine.connect() as connection:
        shown = edit_records.show(connection, suggestion["id"])
    assert (shown["base_commit"], shown["approved_base"]) == (head, base)
    untouched(loop, head)
    [result] = edit_verification.verify_applied(loop.engine)
    assert result.good


def test_another_change_is_requested_again_and_the_difference_is_shown(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": MUTABLE})
    base = loop.repository.git("rev-parse", "HEAD")
    head = loop.repository.commit({"a.py": CONFLICT})
    [applied] = loop.apply()
    assert applied.commit is None
    reason = f"main has moved from {base[:10]} to {head[:10]}, where the change is another one"
    assert str(applied.problem).startswith(f"{reason}: its approval is requested again (suggestion ")
    assert branches(loop) == []
    assert loop.state(suggestion["id"]) == "superseded"
    assert loop.state(suggestion["approval"]) == "revoked"
    [again] = loop.waiting()
    with loop.engine.connect() as connection:
        ended = get_events(connection, suggestion["approval"])[-1]
        replaces = records.show(connection, again["approval"])["evidence"]["replaces"]
    assert ended.data == {"reason": reason}
    assert replaces["suggestion"] == str(suggestion["id"])
    assert "--def collect(item, found=[]):" in replaces["difference"]
    assert "+-def collect(item, found=[], limit=3):" in replaces["difference"]
    # The new approval is for the new change.
    loop.approve(again)
    assert [each.problem for each in loop.apply()] == [None]
    assert loop.repository.git("rev-parse", f"{again['branch']}~1") == head


def test_white_space_is_part_of_what_was_approved(loop: Loop) -> None:
    nested = "if True:\n" + "".join(f"    {line}\n" for line in MUTABLE.splitlines())
    approved(loop, {"a.py": nested})
    deeper = nested.replace("    ", "        ")
    loop.repository.commit({"a.py": deeper})
    [applied] = loop.apply()
    assert "the change is another one" in str(applied.problem)


def test_a_suggestion_ends_if_its_finding_is_gone(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": MUTABLE})
    loop.repository.commit({"a.py": "def collect(item, found):\n    return [*found, item]\n"})
    [applied] = loop.apply()
    assert str(applied.problem).endswith("its finding is gone")
    assert (loop.state(suggestion["id"]), loop.state(suggestion["approval"])) == ("superseded", "revoked")
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT status FROM workflows WHERE type = 'feature'")) == "done"


def test_a_suggestion_ends_if_its_file_is_gone(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": MUTABLE, "b.py": "x = 1\n"})
    loop.repository.git("rm", "--quiet", "a.py")
    loop.repository.commit()
    [applied] = loop.apply()
    assert str(applied.problem).endswith("its finding is gone")
    assert loop.state(suggestion["id"]) == "superseded"


def test_the_mode_of_the_file_is_that_of_the_head(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": MUTABLE})
    loop.repository.git("update-index", "--chmod=+x", "a.py")
    (loop.repository.path / "a.py").chmod(0o755)
    loop.repository.git("commit", "--quiet", "-m", "executable")
    assert [each.problem for each in loop.apply()] == [None]
    assert loop.repository.git("ls-tree", suggestion["branch"], "a.py").startswith("100755")


def test_other_line_ends_are_another_change(loop: Loop) -> None:
    approved(loop, {"a.py": MUTABLE})
    loop.repository.commit({"a.py": MUTABLE.replace("\n", "\r\n").encode()})
    [applied] = loop.apply()
    assert applied.commit is None
    assert branches(loop) == []


def test_a_target_that_is_gone_is_named(loop: Loop) -> None:
    suggestion = approved(loop, {"a.py": MUTABLE})
    loop.repository.git("branch", "-m", "main", "trunk")
    [applied] = loop.apply()
    assert "has no revision 'refs/heads/main'" in str(applied.problem)
    assert loop.state(suggestion["approval"]) == "approved"


def test_the_target_is_read_where_it_is_if_the_repository_is_mirrored(loop: Loop) -> None:
    loop.repository.commit({"a.py": CODE})
    url = f"file://{loop.repository.path}"
    with loop.engine.begin() as connection:
        mirrored = repositories.register(connection, url, "mirrored")
    loop.ingested.engine = loop.engine
    target_changes.bring_up_to_date(loop.engine, mirrored.name, "HEAD")
    loop.name = mirrored.name
    loop.generate()
    [suggestion] = loop.waiting()
    loop.approve(suggestion)
    head = loop.repository.commit({"a.py": MOVED})
    assert [each.problem for each in loop.apply()] == [None]
    mirror = repositories.mirror_folder(url)
    assert loop.repository.git("--git-dir", str(mirror), "rev-parse", f"{suggestion['branch']}~1") == head


def test_a_target_that_moves_while_it_is_read_keeps_the_approval(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    suggestion = approved(loop, {"a.py": CODE})
    loop.repository.commit({"a.py": MOVED})
    bring_up_to_date = target_changes.bring_up_to_date

    def and_move(*arguments: Any) -> None:
        bring_up_to_date(*arguments)
        loop.repository.commit({"c.py": "x = 1\n"})

    with monkeypatch.context() as patched:
        patched.setattr(target_changes, "bring_up_to_date", and_move)
        [applied] = edits.apply_approved(loop.engine, worker="test")
    assert "has just moved; it stays approved" in str(applied.problem)
    assert loop.state(suggestion["approval"]) == "approved"
    assert [each.problem for each in loop.apply()] == [None]


def test_only_positions_and_blobs_are_left_out_of_what_identifies_a_patch() -> None:
    patch = Path(__file__).with_name("absent")
    text_ = f"diff --git a/{patch.name} b/{patch.name}\nindex 1..2 100644\n@@ -1,2 +1,2 @@ f()\n-@@ -1 +1 @@\n+index 1..2\n"
    moved = text_.replace("index 1..2 100644", "index 3..4 100644").replace(
        "-1,2 +1,2 @@ f()", "-9,2 +9,2 @@ g()"
    )
    assert target_changes.identity(text_) == target_changes.identity(moved)
    assert "-@@ -1 +1 @@\n+index 1..2\n" in target_changes.identity(text_)
    assert target_changes.identity(text_) != target_changes.identity(
        text_.replace("+index 1..2", "+index 1..3")
    )
