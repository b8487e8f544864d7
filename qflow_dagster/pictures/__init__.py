"""Pictures as SVG text: charts, the confidence in rules, task graphs.

- `charts`: treemap of hotspots, histogram, trend, stacked bars
- `plan`: burn-up, cumulative flow, roadmap, age of started work
- `confidence`: a rule's confidence over time, reliability of predictions
- `task_graph`: a task graph with the states of its tasks

Does not belong here: reading what is drawn.
"""
