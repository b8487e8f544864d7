"""Where long work reports how far it is: the run's log by default, a progress bar in `qflow run`."""

import time

from qflow_dagster.safety import logs


class Progress:
    """Called with (stage, done, total); logs at most one line per stage every `interval` seconds."""

    def __init__(self, interval: float = 5.0) -> None:
        self.interval = interval
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` of `stage` is done; `total` is 0 where it is not known."""
        now = time.monotonic()
        if done < total and now - self._last.get(stage, 0.0) < self.interval:
            return
        self._last[stage] = now
        logs.logger("qflow").info("%s: %s of %s", stage, done, total or "?")
