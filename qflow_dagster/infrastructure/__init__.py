"""Infrastructure: errors, circuit breakers and health.

- `error_rate_tracker`: recording occurrences, buffered; counting successes; error rates
- `error_analysis`: grouping new occurrences, alerts, updates of circuit breakers
- `error_records`: reading error groups, and people's decisions on them
- `error_grouping`: people's own grouping rules, merged groups; `releases`: the order of releases
- `stacks`: reading stack traces; `frame_names`, `frame_kinds`: what of a frame tells errors apart
- `fingerprints`, `message_parameters`: identity of errors; `classification`: their kinds, with advice
- `circuit_breaker`: failing fast while a remote system is down
- `health_agent`, `health_checks`, `incidents`: checks, their results, incidents

Other domains call remote systems through `circuit_breaker`, so they import this one, not the reverse.
Importing the package registers its workflow types. Does not belong here: Dagster, pages.
"""

from qflow_dagster.quantumflow import StateMachine, register
from qflow_dagster.registry import Queue, WorkflowTypeName

ERROR_GROUP_MACHINE = StateMachine(
    name="error_group",
    initial="open",
    transitions={
        "open": frozenset({"acknowledged", "resolved", "muted", "merged"}),
        "acknowledged": frozenset({"open", "resolved", "muted", "merged"}),
        "resolved": frozenset({"regressed", "open", "merged"}),
        "regressed": frozenset({"acknowledged", "resolved", "muted", "merged"}),
        "muted": frozenset({"open", "resolved", "merged"}),
        # Shown as part of another group, until it is split off.
        "merged": frozenset({"open"}),
    },
    terminal=frozenset(),
    completed="resolved",
)
BREAKER_MACHINE = StateMachine(
    name="circuit_breaker",
    initial="closed",
    transitions={
        # To the same state: a person begins or ends a hold.
        "closed": frozenset({"closed", "open"}),
        "open": frozenset({"open", "half_open", "closed"}),
        "half_open": frozenset({"closed", "open"}),
    },
    terminal=frozenset(),
    completed="closed",
)
INCIDENT_MACHINE = StateMachine(
    name="incident",
    initial="open",
    transitions={"open": frozenset({"open", "closed"}), "closed": frozenset()},
    terminal=frozenset({"closed"}),
    completed="closed",
)

ERROR_GROUP = register(
    WorkflowTypeName.ERROR_GROUP, machine=ERROR_GROUP_MACHINE, queue=Queue.ERROR_NOTIFICATIONS
).name
CIRCUIT_BREAKER = register(
    WorkflowTypeName.CIRCUIT_BREAKER, machine=BREAKER_MACHINE, queue=Queue.CIRCUIT_BREAKER_NOTIFICATIONS
).name
INCIDENT = register(
    WorkflowTypeName.INCIDENT, machine=INCIDENT_MACHINE, queue=Queue.HEALTH_NOTIFICATIONS
).name
