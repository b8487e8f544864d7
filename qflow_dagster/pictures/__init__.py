"""Pictures as SVG text: charts, how far rules are to be relied on, graphs of tasks.

- `charts`: treemap of hotspots, histogram, trend
- `confidence`: a rule's confidence over time, reliability of predictions
- `task_graph`: a task graph with the states of its tasks

Does not belong here: reading what is drawn.
"""
