"""Rule evolution as Dagster runs it: from decisions to what rules may do, a verdict, and a rule that changes."""

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.evolution import rule_set, trust
from qflow_dagster.ingestion import repositories
from qflow_dagster.sensors.approvals import approval_decisions
from qflow_dagster.sensors.evolution import new_outcomes
from tests import decisions
from tests.agents.test_rule_changes import RULE, active, on_trial, versions
from tests.dagster.test_assets import metadata
from tests.dagster.test_operations import Dagster, dagster
from tests.evolution.judgements_in_database import decided
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["dagster", "ingested", "make_repository", "repository"]


def run(dagster: Dagster, name: str, **options: object) -> dg.ExecuteInProcessResult:
    job = dagster.definitions.resolve_job_def(name)
    return job.execute_in_process(instance=dagster.instance, **options)  # type: ignore[arg-type]


def tick(dagster: Dagster, sensor: dg.SensorDefinition) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=dagster.instance, definitions=dagster.definitions, resources={"database": dagster.database}
    )
    with context:
        return sensor(context)  # type: ignore[return-value]


def test_one_run_turns_decisions_into_what_rules_may_do(dagster: Dagster, engine: Engine) -> None:
    decided(engine, active(engine), [True] * 40, collect=False)
    result = run(dagster, "evolve_rules")
    found = metadata(result)
    assert found["rule_outcomes"]["new"].value == 40
    assert found["rule_confidence"]["predictions"].value == 40
    assert found["rule_confidence"]["brier"].value == pytest.approx(0.01)
    assert "data:image/svg+xml" in str(found["rule_confidence"]["reliability"].value)
    assert RULE in str(found["rule_confidence"]["rules"].value)
    assert "data:image/svg+xml" in str(found["rule_set"]["busiest_rule"].value)
    with engine.connect() as connection:
        assert trust.of_rule(connection, active(engine)).level == "act"
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert checks == dict.fromkeys(
        (
            "every_decision_is_counted",
            "no_rule_acts_above_its_evidence",
            "thresholds_are_within_bounds",
            "every_evolved_rule_holds_its_examples",
        ),
        True,
    )
    # Again: nothing is new, and as many steps.
    again = run(dagster, "evolve_rules")
    assert metadata(again)["rule_outcomes"]["new"].value == 0


def test_a_promotion_waits_for_a_person_and_the_sensor_carries_it_out(
    dagster: Dagster, engine: Engine
) -> None:
    decided(engine, active(engine), [True, False] * 10)
    decided(engine, on_trial(engine), [True] * 12)
    found = metadata(run(dagster, "evolve_rules"))
    assert found["rule_set"]["asked_for"].value == 1
    assert versions(engine)[2] == "trial"
    with engine.begin() as connection:
        [waits] = connection.scalars(
            text("SELECT id FROM workflows WHERE type = 'rule_approval' AND status = 'pending'")
        )
        decisions.approve(connection, waits, actor="ada")
    requests = tick(dagster, approval_decisions).run_requests or []
    assert [one.job_name for one in requests] == ["apply_approved_rule_changes"]
    run(dagster, "apply_approved_rule_changes")
    assert versions(engine) == {2: "active"}


def test_the_sensor_waits_for_enough_new_decisions(dagster: Dagster, engine: Engine) -> None:
    decided(engine, active(engine), [True] * 9, collect=False)
    result = tick(dagster, new_outcomes)
    assert result.run_requests == []
    assert "9 new decisions, 10 are waited for" in str(result.skip_reason)
    decided(engine, active(engine), [True], collect=False)
    assert len(tick(dagster, new_outcomes).run_requests or []) == 1
    run(dagster, "evolve_rules")
    assert tick(dagster, new_outcomes).run_requests == []


def test_a_policy_that_acted_above_its_evidence_fails_the_check(dagster: Dagster, engine: Engine) -> None:
    decided(engine, active(engine), [True], actor="policy:edit", believed=(0.99, 0.97))
    result = run(dagster, "evolve_rules")
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    check = checks["no_rule_acts_above_its_evidence"]
    assert not check.passed
    assert str(check.description).startswith("1 change is approved by a policy although the evidence")


def test_mining_offers_drafts_for_approval(
    dagster: Dagster, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    names = ["Ada Lovelace", "Alan Turing"]
    files = {
        f"m{n}.py": f"def f{n}(client):\n    return client.fetch_all(limit={n}, old=True)\n" for n in range(8)
    }
    repository.commit(files)
    for n in range(8):
        changed = files[f"m{n}.py"].replace("client.fetch_all(", "client.fetch(")
        repository.git("config", "user.name", names[n % 2])
        repository.commit({f"m{n}.py": changed})
    with engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    dagster.instance.add_dynamic_partitions(REPOSITORIES, ["project"])
    ingested(repository)
    run(dagster, "mine_rules")
    with engine.connect() as connection:
        drafts = rule_set.lifecycles(connection, states=["draft"])
        mined = connection.scalar(text("SELECT result FROM workflows WHERE type = 'rule_mining'"))
    assert mined["new"] == len(drafts)
    assert all(life.origin == "mined" and life.approval_id is not None for life in drafts)
    assert any("fetch" in str(life.definition["matcher"]) for life in drafts)
