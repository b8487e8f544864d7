"""Agents: who acts, what they are assigned, and what becomes of it (the seed's agents system).

- `self_improvement`: suggestions; `improvement_policy`: when to act and how far
- `edits`, `edit_commits`: applying, verifying and reverting them
- `coordination`: the registry and the router; `assignments`, `agent_messages`: what agents are given and told
- `builtin_agents`: those that ship; `agent_program`: any program; `task_agents`: tasks that agents do
- `sparc_phases`, `sparc_changes`: what the phases of a goal put out

Does not belong here: who may decide (`approvals`), Dagster, pages.
"""
