"""Planned work, task graphs and SPARC goals.

- `work_items`: the hierarchy (theme > epic > capability > feature), its states, reading it; `plan_history`: how far
  the plan is and how it went
- `planned_features`: the features that findings, regressions and errors call for; `safe_work_planner`: stores and
  ranks them; `next_work`: what to do next; `work_chunks`: free text as work; `classifier`, `model_classifier`: what
  a free text requests
- `wsjf`: the score (weighted shortest job first), and how its inputs follow from measures
- `task_definitions`, `task_arguments`, `references`: a task graph as people write it; `task_policy`: limits per role
- `task_graph`, `task_worker`, `task_adapters`: the engine; `task_interventions`: cancel, retry, amend;
  `task_records`: reading graphs; `decomposition`: splitting goals
- `sparc`, `sparc_worker`: goals and phases; `sparc_targets`, `sparc_strategies`, `sparc_records`

Does not belong here: finding (`evolution`), changes (`generation`), producing the artifacts of phases (`agents`).
"""
