"""The work: what findings and regressions ask for, planned after SAFe and ranked by WSJF.

- `work_items`: the hierarchy (theme > epic > capability > feature), its states, reading it
- `safe_work_planner`: findings, regressions and free text become work items; ranking; next work
- `wsjf`: the score, and how its inputs follow from measures; `classifier`: what a free text asks for

Does not belong here: finding (`evolution`), doing the work (`generation`).
"""
