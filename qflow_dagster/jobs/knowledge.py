"""Jobs of knowledge: answer requests, and update the search index."""

import dagster as dg

from qflow_dagster.assets.knowledge import KNOWLEDGE_INDEX
from qflow_dagster.jobs import run_tags
from qflow_dagster.knowledge import producers, requests
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker


@dg.op(
    description="Answers knowledge requests, and creates work items for rules that were reported as wrong."
)
def answer_pending(context: dg.OpExecutionContext, database: Database) -> None:
    """Answer the requests that are due; failed ones become due again later."""
    engine = database.engine()
    result = requests.work(engine, worker=worker(context), run_id=context.run_id, limit=1_000)
    with engine.begin() as connection:
        flagged = producers.flag(connection)
    context.add_output_metadata({**result._asdict(), "rules_flagged": flagged})


@dg.job(
    tags=run_tags.quick("knowledge"), description="Answers knowledge requests that no listener has taken."
)
def answer_knowledge_requests() -> None:
    """Answer what neither `qflow ask` nor `qflow knowledge listen` has answered."""
    answer_pending()


index_knowledge = dg.define_asset_job(
    "index_knowledge",
    selection=dg.AssetSelection.assets(KNOWLEDGE_INDEX),
    tags=run_tags.long(),
    description="Updates the search index of a repository.",
)

jobs = [answer_knowledge_requests, index_knowledge]
