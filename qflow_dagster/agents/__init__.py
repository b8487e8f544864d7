"""Agents: who may act, who acts, and how they are told (seed: agents system).

- `approval`: what an approval is: machine, kinds, digest
- `arbiter`: asking a person, deciding, revoking
- `authorization`: using an approval up, once
- `approval_policy`: when a policy may decide instead
- `approval_records`: lists, one approval whole, exports, what does not agree
- `approved_workflows`: workflows that start only once they are approved
- `self_improvement`: suggestions; `improvement_policy`: when to act and how far
- `edits`, `edit_commits`: applying, verifying and reverting them
- `coordination`: the registry and the router; `assignments`, `agent_messages`: what agents are given and told
- `builtin_agents`: those that ship; `agent_program`: any program; `task_agents`: tasks that agents do
- `sparc_phases`, `sparc_changes`: what the phases of a goal put out

Importing the package registers its workflow types. Does not belong here: Dagster, pages.
"""

from qflow_dagster.agents.approval import KINDS

__all__ = ["KINDS"]
