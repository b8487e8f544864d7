"""Rules that change: variants go on trial by themselves, become active only when somebody agrees; a no ends them."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.agents import rule_changes
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import location_records, outcomes, rule_evolver, rule_set
from qflow_dagster.evolution.python_targets import PythonTargets
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import item_requests
from qflow_dagster.quantumflow import verify_history
from qflow_dagster.settings import settings
from tests import decisions, forks
from tests.evolution.judgements_in_database import decided
from tests.improvement_loop import Loop

RULE = "python/mutable-default"
# What people want changed, and the same in tests, where they do not.
WANTED = "def collect_{0}(item, found=[]):\n    return [*found, item]\n"
UNWANTED = "def test_{0}(item, found=[]):\n    assert [*found, item]\n"


@pytest.fixture
def tests_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named as tests are what the rules are about here; to run them for each candidate takes a second."""
    monkeypatch.setattr(settings().generation, "tests", "off")


def active(engine: Engine) -> Rule:
    with engine.connect() as connection:
        return rule_set.by_id(rule_set.current(connection))[RULE]


def on_trial(engine: Engine, words: str = "not in tests") -> Rule:
    """A variant of the rule, on trial."""
    base = active(engine)
    variant = base.model_copy(update={"version": base.version + 1, "status": "trial"})
    with engine.begin() as connection:
        life = rule_set.begin_lifecycle(
            connection, variant, "variant", words, actor="test", parent=base.digest
        )
        assert life is not None
        rule_set.change(connection, life, "trial", actor="test", reason=words)
    return variant


def settle(engine: Engine) -> rule_changes.TrialsResult:
    return rule_changes.finalize_trials(engine, worker="test")


def versions(engine: Engine) -> dict[int, str]:
    with engine.connect() as connection:
        return {rule.version: rule.status for rule in rule_set.current(connection) if rule.id == RULE}


def in_packages(files: dict[str, str]) -> dict[str, str]:
    """Each file in a package of its own: a change holds all locations of a rule in a package."""
    packages = {f"{path.removesuffix('.py')}/{path}": text for path, text in files.items()}
    return packages | {f"{path.removesuffix('.py')}/setup.py": "" for path in files}


def decide_by_place(loop: Loop) -> None:
    """The loop up to the decisions: what is in tests is denied, the rest approved; all of it is counted."""
    loop.find()
    loop.plan()
    loop.generate(limit=20)
    decided_on = [one for one in loop.waiting() if one["rule"] == RULE]
    for suggestion in decided_on:
        if "test_" in suggestion["title"]:
            with loop.engine.begin() as connection:
                decisions.deny(connection, suggestion["approval"], actor="ada", comment="tests may")
        else:
            loop.approve(suggestion)
    with loop.engine.begin() as connection:
        outcomes.collect(connection)
    assert location_records.store_missing(loop.engine) == len(decided_on)


def test_from_decisions_to_a_variant_on_trial(loop: Loop, tests_off: None) -> None:
    """On a real repository: what is denied is in tests, what is accepted is not."""
    files = {f"app_{n}.py": WANTED.format(n) for n in range(6)} | {
        f"test_{n}.py": UNWANTED.format(n) for n in range(6)
    }
    loop.repository.commit(in_packages(files))
    decide_by_place(loop)
    made = rule_evolver.vary(loop.engine)
    assert {(one.rule_id, one.operation) for one in made} == {(RULE, "narrower")}
    assert rule_evolver.vary(loop.engine) == []
    assert versions(loop.engine)[1] == "active"
    # The engine looks with it too; where it serves, what is in tests is left alone.
    loop.repository.commit(in_packages({"app_7.py": WANTED.format(7), "test_7.py": UNWANTED.format(7)}))
    loop.find()
    loop.plan()
    targets = PythonTargets("py311", {})
    with loop.engine.connect() as connection:
        snapshot = loop.snapshot()
        lives = rule_set.lifecycles(connection, rule=RULE, states=["trial"])
        found = {
            path: [
                item_requests.request_for(
                    connection, loop.repository.path, snapshot, item, targets, digest=bytes(one.digest)
                )
                for one in lives
            ]
            for item, path in connection.execute(
                text("SELECT id, path FROM work_items WHERE rule_id = :rule AND path LIKE '%7.py'"),
                {"rule": RULE},
            )
        }
    assert all(request is not None for request, _ in found["app_7/app_7.py"])
    assert [problem for _, problem in found["test_7/test_7.py"]] == [
        f"version {one.version} of the rule, on trial, has no finding here" for one in lives
    ]
    with loop.engine.connect() as connection:
        assert verify_history(connection) is None


def test_a_variant_that_leaves_out_what_people_mend_unasked_is_not_tried(loop: Loop, tests_off: None) -> None:
    """What is denied is in tests; but in the history tests were mended too."""
    files = {f"app_{n}.py": WANTED.format(n) for n in range(5)} | {
        f"test_{n}.py": UNWANTED.format(n) for n in range(5)
    }
    old = {f"test_old_{n}.py": UNWANTED.format(f"old_{n}") for n in range(3)}
    old = in_packages(old)
    loop.repository.commit({**in_packages(files), **old})
    mended = {path: text.replace("found=[]", "found=None") for path, text in old.items() if text}
    loop.repository.commit(mended)
    decide_by_place(loop)
    assert rule_evolver.vary(loop.engine) == []
    assert [place.path for place in rule_evolver.fixed_by_people(loop.engine, active(loop.engine))] == sorted(
        mended
    )


def test_a_better_variant_becomes_active_once_a_person_agrees(engine: Engine) -> None:
    base = active(engine)
    decided(engine, base, [True, False] * 10)
    variant = on_trial(engine)
    assert settle(engine).verdicts == []
    decided(engine, variant, [True] * 12)
    settled = settle(engine)
    assert [(one.version, one.to) for one in settled.verdicts] == [(2, "active")]
    assert "better than version 1" in settled.verdicts[0].reason
    assert settle(engine).requested == []
    assert versions(engine) == {1: "active", 2: "trial"}
    with engine.begin() as connection:
        decisions.approve(connection, settled.requested[0], actor="ada")
    [done] = rule_changes.apply_approved(engine, worker="test")
    assert (done.to, done.problem) == ("active", None)
    assert versions(engine) == {2: "active"}
    assert rule_changes.apply_approved(engine, worker="test") == []


def test_a_denied_variant_is_retired_and_never_tried_again(engine: Engine) -> None:
    decided(engine, active(engine), [True, False] * 10)
    decided(engine, on_trial(engine), [True] * 12)
    [asked] = settle(engine).requested
    with engine.begin() as connection:
        decisions.deny(connection, asked, actor="ada", comment="it hides bugs")
    settle(engine)
    assert versions(engine) == {1: "active"}
    with engine.connect() as connection:
        [life] = rule_set.lifecycles(connection, rule=RULE)
        assert rule_set.events(connection, life.id)[-1]["reason"] == "denied by ada: it hides bugs"
        tried = rule_evolver.tried_fingerprints(connection)
    assert rule_evolver.fingerprint(rule_set.RULE.validate_python(life.definition)) in tried


def test_a_worse_variant_is_retired_without_asking(engine: Engine) -> None:
    decided(engine, active(engine), [True] * 20)
    decided(engine, on_trial(engine), [False] * 6)
    settled = settle(engine)
    assert [one.to for one in settled.verdicts] == ["retired"]
    assert settled.requested == []
    assert versions(engine) == {1: "active"}


def test_a_trial_without_a_verdict_ends_by_the_clock(engine: Engine) -> None:
    on_trial(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE workflows SET updated_at = updated_at - interval '91 days' WHERE type = 'rule'")
        )
    [verdict] = settle(engine).verdicts
    assert (verdict.to, verdict.reason) == ("retired", "90 days on trial without a verdict")


def test_a_policy_may_agree_where_it_is_on_and_the_evidence_is_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().approvals, "policy_kinds", ["rule"])
    decided(engine, active(engine), [True, False] * 10)
    decided(engine, on_trial(engine), [True] * 80)
    settled = settle(engine)
    assert [one.problem for one in settled.changed] == [None]
    assert versions(engine) == {2: "active"}


def test_a_veto_denies_what_waits_and_ends_what_is_on_trial(engine: Engine) -> None:
    on_trial(engine)
    with engine.begin() as connection:
        [words] = rule_changes.veto(connection, RULE, actor="ada", reason="not this one")
    assert words == "version 2, a trial, is retired"
    assert versions(engine) == {1: "active"}
    with (
        engine.begin() as connection,
        pytest.raises(QflowError, match="python/mutable-default has no pending approval"),
    ):
        rule_changes.veto(connection, RULE, actor="ada", reason="again")


def test_what_was_approved_is_this_rule_and_no_other(engine: Engine) -> None:
    decided(engine, active(engine), [True, False] * 10)
    decided(engine, on_trial(engine), [True] * 12)
    [asked] = settle(engine).requested
    with engine.begin() as connection:
        decisions.approve(connection, asked, actor="ada")
        connection.execute(
            text('UPDATE rule_lifecycles SET definition = definition || \'{"fix": "evil()"}\'')
        )
    [done] = rule_changes.apply_approved(engine, worker="test")
    assert done.problem == "mismatch"
    assert versions(engine)[1] == "active"


def test_two_that_evolve_at_the_same_time_count_once_and_begin_a_variant_once(
    engine: Engine, tmp_path: Path
) -> None:
    """Two real processes, on the same decisions with the same places."""
    base = active(engine)
    decided(engine, base, [n % 2 == 0 for n in range(24)], collect=False)
    with engine.begin() as connection:
        outcomes.collect(connection)
        rows = connection.execute(
            text("SELECT id, good FROM rule_outcomes WHERE kind IN ('approved', 'denied')")
        ).all()
        for number, row in enumerate(rows):
            code = (WANTED if row.good else UNWANTED).format(number)
            start = code.index("[]")
            connection.execute(
                text("INSERT INTO rule_locations VALUES (:id, 0, 'a.py', 'python', :text, :start, :end)"),
                {"id": row.id, "text": code, "start": start, "end": start + 2},
            )
    environment = {
        "QFLOW_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "QFLOW_HOME": str(tmp_path),
    }
    started = [forks.start(evolve_here, environment=environment) for _ in range(2)]
    for process in started:
        process.join(120)
        assert process.exitcode == 0
    with engine.connect() as connection:
        lives = rule_set.lifecycles(connection, rule=RULE)
        assert verify_history(connection) is None
    assert lives
    assert len({life.version for life in lives}) == len(lives)
    made = [rule_evolver.fingerprint(rule_set.RULE.validate_python(life.definition)) for life in lives]
    assert len(set(made)) == len(made)


def evolve_here() -> None:
    """What a run does, in a process of its own."""
    engine = ready_engine()
    with engine.begin() as connection:
        outcomes.collect(connection)
    rule_evolver.vary(engine)
    settle(engine)
