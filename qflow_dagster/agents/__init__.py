"""Agents: suggestions and edits, the registry and router of agents, and the agents that ship.

- `self_improvement`, `suggestion_states`, `suggestion_statistics`: suggestions; `improvement_policy`: when to act
- `edits`, `target_changes`: applying them; `edit_commits`, `commit_identity`: their commits
- `edit_verification`: verifying and reverting them
- `edit_lifecycle`, `edit_comparison`: what becomes of them; `edit_branches`: pushing; `edit_records`: reading
- `rule_changes`: changes of rules
- `coordination`: the registry and the router; `assignments`: work for agents; `agent_messages`: messages between them
- `builtin_agents`: those that ship; `agent_program`: any program as an agent; `task_agents`: tasks run by agents
- `sparc_phases`, `sparc_changes`: the artifacts of the phases of a goal

Does not belong here: who may decide (`approvals`), Dagster, pages.
"""
