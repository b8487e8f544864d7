"""Rules that evolve, as a person works them: what is believed, history, evolving, retiring, sharing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.evolution import matchers
from tests.agents.test_rule_changes import RULE, active, on_trial
from tests.cli.test_commands import ok
from tests.cli.test_operations import refused
from tests.evolution.judgements_in_database import decided
from tests.ingestion.conftest import GitRepository, make_repository

__all__ = ["make_repository"]

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_confidence_of_a_rule_is_shown_with_its_history(qflow: Run, engine: Engine, home: Path) -> None:
    decided(engine, active(engine), [True] * 39 + [False], collect=False)
    found = json.loads(ok(qflow("rules", "evolve", "--json")))
    assert found["outcomes"] == 40
    [row] = [row for row in json.loads(ok(qflow("rules", "list", "--json"))) if row["rule"] == RULE]
    assert (row["level"], row["decisions"], row["status"]) == ("act", 40, "active")
    assert [row["rule"] for row in json.loads(ok(qflow("rules", "list", "--level", "act", "--json")))] == [
        RULE
    ]
    [standing] = json.loads(ok(qflow("rules", "show", RULE, "--json")))["trust"]
    assert (standing["approved"], standing["denied"]) == (39, 1)
    assert standing["lower"] < standing["mean"]
    assert "wilson" in ok(qflow("rules", "show", RULE))
    shown = ok(qflow("rules", "history", RULE))
    assert "denied" in shown
    assert "lower bound" in shown
    picture = home / "rule.svg"
    ok(qflow("rules", "history", RULE, "--svg", str(picture)))
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_variant_is_promoted_by_a_person_or_vetoed(qflow: Run, engine: Engine) -> None:
    decided(engine, active(engine), [True, False] * 10)
    decided(engine, on_trial(engine), [True] * 12)
    assert "-> active: better than version 1" in ok(qflow("rules", "evolve"))
    [approval] = json.loads(ok(qflow("approvals", "list", "--json")))
    ok(qflow("approvals", "approve", approval["id"], "--digest", approval["digest"], actor="ada"))
    assert f"{RULE} is active now" in ok(qflow("rules", "evolve"))
    assert json.loads(ok(qflow("rules", "show", RULE, "--json")))["version"] == 2
    on_trial(engine, "another")
    assert "version 3, a trial, is retired" in ok(
        qflow("rules", "veto", RULE, "--reason", "no more", actor="ada")
    )
    refused(
        qflow("rules", "veto", RULE, "--reason", "no more"),
        1,
        f"{RULE} has no pending approval and no version on trial",
    )


def test_a_rule_is_retired_for_good(qflow: Run, engine: Engine) -> None:
    ok(qflow("rules", "retire", RULE, "--reason", "we like it so", actor="ada"))
    assert RULE not in [row["rule"] for row in json.loads(ok(qflow("rules", "list", "--json")))]
    lives = json.loads(ok(qflow("rules", "history", RULE, "--json")))["lives"]
    assert lives[-1]["reason"] == "we like it so"
    refused(qflow("rules", "retire", RULE, "--reason", "again"), 2, f"{RULE} has no version in force")
    refused(
        qflow("rules", "promote", RULE, "--reason", "back"), 2, f"{RULE} has no draft and nothing on trial"
    )
    refused(qflow("rules", "show", "in-dict"), 2, "similar: ")
    refused(qflow("rules", "list", "--level", "fly"), 2, "fly")


def test_thresholds_are_shown_and_taken_back(qflow: Run, engine: Engine) -> None:
    decided(engine, active(engine), [True] * 20, believed=(0.93, 0.88), collect=False)
    ok(qflow("rules", "evolve"))
    found = json.loads(ok(qflow("rules", "thresholds", "--json")))
    assert found["thresholds"]["act"] < 0.9
    [change] = found["changes"]
    refused(qflow("rules", "thresholds", "--revert", str(change["id"])), 2, "needs --reason")
    ok(qflow("rules", "thresholds", "--revert", str(change["id"]), "--reason", "too soon", actor="ada"))
    assert json.loads(ok(qflow("rules", "thresholds", "--json")))["thresholds"]["act"] == 0.9


def test_what_one_publishes_another_imports_only_if_it_trusts_it(
    qflow: Run, engine: Engine, home: Path
) -> None:
    decided(engine, active(engine), [True] * 60)
    place = home / "shared"
    place.mkdir()
    said = ok(qflow("rules", "publish", str(place)))
    assert f"published {RULE}" in said
    key = said.split("--trust ")[1].split()[0]
    other = {"QFLOW_HOME": str(home / "other")}
    refused_ = json.loads(ok(qflow("rules", "import", str(place), "--json", **other)))
    assert refused_["imported"] == []
    assert len(refused_["refused"]) == 1
    taken = json.loads(ok(qflow("rules", "import", str(place), "--trust", key, "--json", **other)))
    assert taken["imported"] == [RULE]
    assert (
        json.loads(ok(qflow("rules", "import", str(place), "--trust", key, "--json", **other)))["known"] == 1
    )
    fingerprint = next(place.iterdir()).name.rsplit("-", 1)[1]
    assert f"1 packages and votes of {fingerprint}" in ok(qflow("rules", "distrust", fingerprint, **other))
    refused(qflow("rules", "distrust", fingerprint, **other), 2, "because somebody vouched")
    refused(qflow("rules", "import", str(home / "nowhere")), 2, "nowhere does not exist")


@pytest.mark.parametrize(
    "command", ["evolve", "mine", "promote", "retire", "veto", "thresholds", "publish", "import", "distrust"]
)
def test_every_command_says_what_it_does(qflow: Run, command: str) -> None:
    assert "Usage" in ok(qflow("rules", command, "--help"))


def test_a_pack_is_begun_and_tried_on_a_repository_without_storing_anything(
    qflow: Run, engine: Engine, home: Path, make_repository: Callable[[str], GitRepository]
) -> None:
    for language in matchers.LANGUAGES:
        pack = str(home / f"my-{language}.yaml")
        ok(qflow("rules", "new", pack, "--language", language))
        assert ok(qflow("rules", "test", pack)) == "1 rules, 0 failed\n"
    pack = str(home / "my-python.yaml")
    refused(qflow("rules", "new", pack), 2, "my-python.yaml exists already")
    repository = make_repository("tried")
    repository.commit({"a.py": "x = 1\nold_call(x)\n", "b.py": "y = 1\n"})
    tried = ok(qflow("rules", "try", pack, str(repository.path)))
    assert "a.py:2: mypython/first-rule: The old call" in tried
    assert "-old_call(x)\n+new_call(x)\n" in tried
    assert tried.endswith("1 matches in 1 files, 1 would be changed\n")
    repository.commit({"lib/c.py": "old_call(1)\n"})
    for under, expected in (
        ("a.py", {"a.py"}),
        ("lib", {"lib/c.py"}),
        ("b.py", set()),
        (".", {"a.py", "lib/c.py"}),
    ):
        found = json.loads(ok(qflow("rules", "try", pack, str(repository.path / under), "--json")))
        assert {row["path"] for row in found} == expected
    (repository.path / "new.py").write_text("old_call(1)\n")
    refused(qflow("rules", "try", pack, str(repository.path / "new.py")), 2, "new.py is not in commit")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM repositories")) == 0
        assert connection.scalar(text("SELECT count(*) FROM rule_versions WHERE pack = 'python'")) == 0
