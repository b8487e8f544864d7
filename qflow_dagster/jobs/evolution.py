"""Jobs of rule evolution: learn from outcomes, mine histories, apply approved changes."""

import dagster as dg
from pydantic import Field

from qflow_dagster.agents import rule_changes, rule_evolution
from qflow_dagster.assets import evolution
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs import run_tags
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line

evolve_rules = dg.define_asset_job(
    "evolve_rules",
    selection=dg.AssetSelection.groups(evolution.GROUP),
    tags=run_tags.long("rule_outcomes"),
    description="Counts outcomes, updates confidence and thresholds, starts trials of variants, evaluates trials.",
)


class MiningConfig(dg.Config):
    """Select the repositories whose histories are mined."""

    repositories: list[str] = Field(
        default=[], description="Names of registered repositories; if empty, all that are ingested."
    )


@dg.op(pool="mining", description="Mines histories for rules, and requests approval for trials of the best.")
def mine_histories(
    context: dg.OpExecutionContext,
    config: MiningConfig,
    database: Database,
    progress: dg.ResourceParam[Progress],
) -> None:
    """Mine the repositories one after the other, because mining uses every core."""
    engine = database.engine()
    with engine.connect() as connection:
        ingested = [row["name"] for row in queries.repositories(connection) if row["snapshot_id"]]
    offered = 0
    for name in config.repositories or ingested:
        drafts = rule_evolution.mine(
            engine, name, worker=worker(context), run_id=context.run_id, progress=progress
        )
        for draft, _approval in drafts:
            context.log.info("%s version %d: %s", draft.rule_id, draft.version, visible_line(draft.reason))
        offered += len(drafts)
    context.add_output_metadata({"offered": offered})


@dg.job(
    tags=run_tags.long("rule_mining"), description="New rules from the history of repositories, as drafts."
)
def mine_rules() -> None:
    """Mine the histories for recurring changes."""
    mine_histories()


@dg.op(description="Applies approved changes of rules, a hundred at a time.")
def change_rules(context: dg.OpExecutionContext, database: Database) -> None:
    """Apply each in its own transaction, so that a failure does not stop the others."""
    changed, problems = rule_changes.apply_all_approved(
        database.engine(), worker=worker(context), run_id=context.run_id
    )
    for result in problems:
        context.log.warning("%s: %s", result.rule_id, visible_line(result.problem or ""))
    context.add_output_metadata({"changed": len(changed), "not_changed": len(problems)})


@dg.job(tags=run_tags.quick("rule_approvals"), description="Applies changes of rules that were approved.")
def apply_approved_rule_changes() -> None:
    """Use the approvals of kind `rule`."""
    change_rules()


jobs = [evolve_rules, mine_rules, apply_approved_rule_changes]
