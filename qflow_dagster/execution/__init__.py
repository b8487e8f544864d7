"""The work: what findings ask for, planned after SAFe and ranked by WSJF; task graphs; goals through SPARC.

- `work_items`: the hierarchy (theme > epic > capability > feature), its states, reading it
- `safe_work_planner`: findings, regressions and free text become work items; ranking; next work
- `task_definitions`, `task_policy`: graphs as people write them, what a role may; `task_graph`, `task_worker`,
  `task_adapters`: the engine; `task_records`, `task_pictures`: looking at them; `decomposition`: splitting goals
- `sparc`, `sparc_worker`: goals and phases; `sparc_targets`, `sparc_strategies`, `sparc_records`
- `wsjf`: the score, and how its inputs follow from measures; `classifier`: what a free text asks for

Does not belong here: finding (`evolution`), changes (`generation`), what the phases of a goal put out (`agents`).
"""
