"""Names and numbers that must be unique in the whole project: workflow types, queues, advisory locks.

Belongs here: a value that two modules could otherwise choose by accident. Does not belong here: the
state machines, messages and statements that use it, which the domains declare.
"""

from enum import IntEnum, StrEnum, unique


@unique
class WorkflowTypeName(StrEnum):
    """The kinds of workflows, as the column ``workflows.type`` holds them."""

    ASSIGNMENT = "assignment"
    CAPABILITY = "capability"
    CIRCUIT_BREAKER = "circuit_breaker"
    CODE_INGESTION = "code_ingestion"
    DAGSTER_RUN = "dagster_run"
    EDIT_APPROVAL = "edit_approval"
    EPIC = "epic"
    ERROR_GROUP = "error_group"
    FEATURE = "feature"
    GENERATION = "generation"
    HISTORY_INGESTION = "history_ingestion"
    IMPROVEMENT_CYCLE = "improvement_cycle"
    INCIDENT = "incident"
    KNOWLEDGE_REQUEST = "knowledge_request"
    METRICS_PIPELINE = "metrics_pipeline"
    NOTIFICATION = "notification"
    ROLLBACK_APPROVAL = "rollback_approval"
    RULE = "rule"
    RULE_APPROVAL = "rule_approval"
    RULE_CONSENSUS = "rule_consensus"
    RULE_EVOLUTION = "rule_evolution"
    RULE_MINING = "rule_mining"
    SERVICE_RESTART = "service_restart"
    SPARC_GOAL = "sparc_goal"
    SPARC_PHASE = "sparc_phase"
    SUGGESTION = "suggestion"
    TASK_ADMIN = "task_admin"
    TASK_CODER = "task_coder"
    TASK_CRITIC = "task_critic"
    TASK_GRAPH = "task_graph"
    TASK_RESEARCHER = "task_researcher"
    TASK_TESTER = "task_tester"
    THEME = "theme"
    WORK_CHUNK = "work_chunk"
    WORK_CHUNK_DECISION = "work_chunk_decision"
    WORKFLOW_APPROVAL = "workflow_approval"


@unique
class Queue(StrEnum):
    """The message queues of the project, as ``messages.queue`` holds them and NOTIFY names its channels."""

    AGENT_COORDINATION_NOTIFICATIONS = "agent_coordination_notifications"
    APPROVAL_NOTIFICATIONS = "approval_notifications"
    CIRCUIT_BREAKER_NOTIFICATIONS = "circuit_breaker_notifications"
    CODE_INGESTION_NOTIFICATIONS = "code_ingestion_notifications"
    ERROR_NOTIFICATIONS = "error_notifications"
    HEALTH_NOTIFICATIONS = "health_notifications"
    KNOWLEDGE_REQUESTS = "knowledge_requests"
    METRICS_NOTIFICATIONS = "metrics_notifications"
    RULE_NOTIFICATIONS = "rule_notifications"
    SPARC_NOTIFICATIONS = "sparc_notifications"
    SUGGESTION_NOTIFICATIONS = "suggestion_notifications"
    TASK_GRAPH_NOTIFICATIONS = "task_graph_notifications"
    WORK_ITEM_NOTIFICATIONS = "work_item_notifications"
    # Notified of every workflow that died, whatever its type.
    WORKFLOW_ALERTS = "workflow_alerts"
    WORKFLOW_APPROVAL_NOTIFICATIONS = "workflow_approval_notifications"


@unique
class Channel(StrEnum):
    """Channels of NOTIFY that carry no messages of queues."""

    # Commits in a repository on this machine, or pushes that a forge reports.
    COMMITS = "new_commits"
    # Rows in `error_occurrences`, whoever inserted them.
    OCCURRENCES = "new_occurrences"
    # Runs to be interrupted.
    TERMINATIONS = "run_terminations"


@unique
class RunQueue(StrEnum):
    """The queues of Celery in which runs wait for a worker."""

    # Runs that drain a table, in seconds: decisions, errors, notifications, questions.
    QUICK = "quick"
    LONG = "long"


@unique
class Lock(IntEnum):
    """Keys of PostgreSQL's advisory locks, one per purpose; taken by `database.locks`.

    Any numbers serve, as long as all processes use the same: a changed number lets two versions of
    qflow that run side by side into the same critical section.
    """

    ASSIGNMENT_ROUTING = 0xDDB811
    EDITS_OF_REPOSITORY = 0x65646974
    FACTS = 0x66616374
    FINDINGS_OF_REPOSITORY = 0x66696E64
    REPOSITORY = 0x696E6765
    PLAN_OF_REPOSITORY = 0x706C616E
    RULE_VERSIONS = 0x72756C65
    MIGRATIONS = 0x71666C6F77
    DEPENDENCIES = 0x71666C6F7701
    SEALS = 0x71666C6F7702
    HEALTH_STATES = 0x71666C6F7703
    RULE_IMPORTS = 0x71666C6F7704
    # In Dagster's own database.
    BROKER_TABLES = 0x71666C6F7705
