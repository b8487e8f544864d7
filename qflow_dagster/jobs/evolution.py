"""Jobs of rule evolution: outcomes to rules that hold, mining, and what was approved of it."""

import dagster as dg
from pydantic import Field

from qflow_dagster.agents import rule_changes
from qflow_dagster.evolution.mining import drafts
from qflow_dagster.ingestion import queries
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.safety.display import visible_line

MAX_ROUNDS = 50

evolve_rules = dg.define_asset_job(
    "evolve_rules",
    selection=dg.AssetSelection.groups("evolution"),
    tags={"qflow/drain": "rule_outcomes"},
    description="Counts outcomes, moves confidence and thresholds, tries variants, judges trials.",
)


class MiningConfig(dg.Config):
    """Whose history is mined."""

    repositories: list[str] = Field(
        default=[], description="Names of registered repositories; none: all that are ingested."
    )


@dg.op(description="Mines histories for rules, and asks whether the best of them may go on trial.")
def mine_histories(
    context: dg.OpExecutionContext,
    config: MiningConfig,
    database: Database,
    progress: dg.ResourceParam[Progress],
) -> None:
    """One repository after the other: mining uses every core."""
    engine = database.engine()
    with engine.connect() as connection:
        ingested = [row["name"] for row in queries.repositories(connection) if row["snapshot_id"]]
    offered = 0
    for name in config.repositories or ingested:
        worker = f"dagster run {context.run_id[:8]}"
        mined = drafts.mine(engine, name, worker=worker, run_id=context.run_id, progress=progress)
        with engine.begin() as connection:
            rule_changes.propose(connection, mined, run_id=context.run_id)
        for one in mined:
            context.log.info("%s version %d: %s", one.rule_id, one.version, visible_line(one.reason))
        offered += len(mined)
    context.add_output_metadata({"offered": offered})


@dg.job(
    tags={"qflow/drain": "rule_mining"}, description="New rules from the history of repositories, as drafts."
)
def mine_rules() -> None:
    """One look at what people do again and again."""
    mine_histories()


@dg.op(description="Carries out approved changes of rules, a hundred at a time.")
def change_rules(context: dg.OpExecutionContext, database: Database) -> None:
    """Each in a transaction of its own: one that fails holds up no other."""
    worker = f"dagster run {context.run_id[:8]}"
    changed, problems = 0, []
    for _ in range(MAX_ROUNDS):
        done = rule_changes.apply_approved(database.engine(), worker=worker, run_id=context.run_id)
        good = [one for one in done if one.problem is None]
        problems = [one for one in done if one.problem is not None]
        changed += len(good)
        if not good:
            break
    for one in problems:
        context.log.warning("%s: %s", one.rule_id, visible_line(one.problem or ""))
    context.add_output_metadata({"changed": changed, "not_changed": len(problems)})


@dg.job(
    tags={"qflow/drain": "rule_approvals"}, description="Carries out changes of rules that were approved."
)
def apply_approved_rule_changes() -> None:
    """The consumer of approvals of kind `rule`."""
    change_rules()


jobs = [evolve_rules, mine_rules, apply_approved_rule_changes]
