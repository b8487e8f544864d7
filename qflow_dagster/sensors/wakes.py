"""Which messages wake a sensor: stated in its metadata, where the daemon (`launching.daemon`) and people read it.

A woken sensor ticks at once. Its interval matters for what becomes due by time, and where Dagster's stock daemon runs.
"""

from qflow_dagster.registry import Channel, Queue

WOKEN_BY = "woken by"


def woken_by(*channels: Queue | Channel) -> dict[str, str]:
    """Return the metadata of a sensor whose tick is due when one of these queues gets a message."""
    return {WOKEN_BY: ", ".join(channels)}
