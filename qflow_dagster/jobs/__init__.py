"""Jobs: what a run does. Asset jobs materialize, op jobs drain or maintain tables.

Belongs here: selections and small ops that call a domain. Does not belong here: when a job
runs (``sensors``, ``schedules``).
"""
