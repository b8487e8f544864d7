"""Assets of execution, agents and knowledge: task graphs, SPARC goals, how agents do, the knowledge index.

Belongs here: looks at the tables, and bringing the index up to date. Does not belong here: doing
tasks, phases, assignments or requests (jobs).
"""

import dagster as dg

from qflow_dagster.agents import assignments, builtin_agents, coordination
from qflow_dagster.agents import tables as agent_tables
from qflow_dagster.assets import ingestion
from qflow_dagster.assets.metadata import column_schema, picture, table
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.execution import sparc_records, sparc_strategies, task_records
from qflow_dagster.execution import tables as execution_tables
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import index, producers, requests
from qflow_dagster.knowledge import tables as knowledge_tables
from qflow_dagster.pictures import task_graph
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.safety.display import visible_line

TASK_GRAPHS = dg.AssetKey(["execution", "task_graphs"])
SPARC_GOALS = dg.AssetKey(["execution", "sparc_goals"])
AGENT_PERFORMANCE = dg.AssetKey(["agents", "performance"])
KNOWLEDGE_INDEX = dg.AssetKey(["knowledge", "index"])
MAX_ROWS = 20


@dg.asset(
    key=TASK_GRAPHS,
    group_name="execution",
    kinds={"postgres"},
    code_version="1",
    description="Task graphs: what each has done, and the newest one drawn with the states of its tasks.",
    metadata={"dagster/column_schema": column_schema(execution_tables.tasks)},
)
def task_graphs(database: Database) -> dg.MaterializeResult:
    """Look at the graphs; a running one is drawn before an ended one."""
    with database.engine().connect() as connection:
        found = task_records.find(connection, limit=1_000)
        drawn = next((row for row in found if row["state"] == "running"), found[0] if found else None)
        tasks = task_records.tasks_of(connection, drawn["id"]) if drawn else []
    states: dict[str, int] = {}
    for row in found:
        states[row["state"]] = states.get(row["state"], 0) + 1
    shown = ("name", "state", "tasks", "completed", "failed", "seconds", "requested_by")
    path, seconds = task_records.critical_path(tasks)
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "dagster/row_count": len(found),
        "graphs": table([{name: row[name] for name in shown} for row in found], MAX_ROWS),
        "by_state": picture(histogram(sorted(states.items()), "Task graphs by state")),
    }
    if drawn:
        metadata["graph"] = picture(task_graph.svg(tasks, f"{drawn['name']} ({drawn['state']})"))
        metadata["critical_path"] = visible_line(f"{' > '.join(path[:20])} ({seconds:.1f} s)")
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    key=SPARC_GOALS,
    group_name="execution",
    kinds={"postgres"},
    code_version="1",
    description="SPARC goals: how far each is, and how the strategies did.",
    metadata={"dagster/column_schema": column_schema(execution_tables.sparc_goals)},
)
def sparc_goals(database: Database) -> dg.MaterializeResult:
    """Look at the goals."""
    with database.engine().connect() as connection:
        states = sparc_records.progress(connection)
        found = sparc_records.find(connection, limit=MAX_ROWS)
        strategies = sparc_strategies.statistics(connection)
    shown = ("state", "phase", "round", "strategy", "repository", "target", "reason")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(number for _, number in states),
            "goals": table([{name: row[name] for name in shown} for row in found], MAX_ROWS),
            "by_state": picture(histogram(states, "Goals by state")),
            "strategies": table(strategies, MAX_ROWS),
        }
    )


@dg.asset(
    key=AGENT_PERFORMANCE,
    group_name="agents",
    kinds={"postgres"},
    code_version="1",
    description="Agents: who is there, what waits for them, and how they did by domain.",
    metadata={"dagster/column_schema": column_schema(agent_tables.outcomes)},
)
def agent_performance(database: Database) -> dg.MaterializeResult:
    """Count what generators did in the improvement loop, and look at all agents."""
    with database.engine().begin() as connection:
        builtin_agents.register_all(connection)
        counted = builtin_agents.record_outcomes(connection)
        agents = coordination.agents(connection)
        statistics = coordination.statistics(connection)
        waiting = assignments.counts(connection)
    rows = [
        {
            "agent": one.name,
            "role": one.role,
            "availability": one.availability,
            "load": one.load,
            "outcomes": one.successes + one.failures,
            "success_rate": one.success_rate,
        }
        for one in agents
    ]
    bars = [(one.name[:14], round(one.success_rate * 100)) for one in agents if one.successes + one.failures][
        :8
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(agents),
            "outcomes_counted": counted,
            "agents": table(rows, MAX_ROWS),
            "assignments": table([{"state": k, "assignments": v} for k, v in waiting.items()], MAX_ROWS),
            "by_domain": table(statistics, MAX_ROWS),
            "success_rates": picture(histogram(bars, "Success rate in percent (posterior mean)")),
        }
    )


@dg.asset(
    key=KNOWLEDGE_INDEX,
    group_name="knowledge",
    deps=[ingestion.SNAPSHOT],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version=str(index.VERSION),
    description="Words of the current snapshot and its commits, for search; raises requests of its own.",
    metadata={"dagster/column_schema": column_schema(knowledge_tables.knowledge_entries)},
)
def knowledge_index(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Each blob is read once."""
    engine = database.engine()
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
    indexed = index.update(engine, snapshot, progress=progress)
    with engine.begin() as connection:
        raised = producers.raise_requests(connection, snapshot)
        kinds = index.kinds(connection, snapshot)
        asked = requests.find(connection, limit=1_000)
    own = [row for row in asked if row["repository"] == snapshot.repository]
    shown = ("state", "kind", "about", "seconds", "problem")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": sum(number for _, number in kinds),
            **indexed._asdict(),
            "requests_raised": len(raised),
            "requests": table([{name: row[name] for name in shown} for row in own], MAX_ROWS),
            "by_kind": picture(histogram(kinds[:8], "Entries by kind")),
        },
    )


assets = [task_graphs, sparc_goals, agent_performance, knowledge_index]
