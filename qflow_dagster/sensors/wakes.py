"""Which messages wake a sensor: stated in its metadata, where the daemon (`launching.daemon`) and people read it.

A woken sensor ticks at once. Its interval matters for what becomes due by time, and where Dagster's stock daemon runs.
"""

from typing import Any

from qflow_dagster.registry import Channel, Queue

WOKEN_BY = "woken by"
# How many runs of a job of its may be in progress and it is woken all the same.
AT_A_TIME = "runs at a time"


def woken_by(*channels: Queue | Channel, at_a_time: int = 1) -> dict[str, Any]:
    """Return the metadata of a sensor whose tick is due when one of these queues gets a message."""
    return {WOKEN_BY: ", ".join(channels), **({AT_A_TIME: at_a_time} if at_a_time > 1 else {})}
