"""How long work reports its progress."""

from collections.abc import Callable

# Called with the stage's name, units done, and units in all (0: not known).
ReportProgress = Callable[[str, int, int], None]
