"""Running what is not trusted (a repository's tests, a task's command) where it can do no harm.

- `supervision`: running a command: waiting, limits, its output, its certain end
- `orders`: what the launcher is ordered to do for one command
- `view`: what the command sees: an allow-list of system folders, toolchains
- `hidden`: what it never sees: our own state, what in the system's folders is not for everybody
- `launcher`: the program between us and the command; it isolates, and outlives neither of the two
- `syscall_filter`: the system calls the command may not make
- `control_groups`: memory and processes in sum, where control groups may be made
- `usage`: what the command writes into its folder, in sum

Does not belong here: which command, and what its result means.
"""

from qflow_dagster.sandbox.orders import Kind, Limits
from qflow_dagster.sandbox.supervision import NotIsolatedError, Ran, available, run
from qflow_dagster.sandbox.view import INSIDE, NO_PACKAGES, Packages

__all__ = [
    "INSIDE",
    "NO_PACKAGES",
    "Kind",
    "Limits",
    "NotIsolatedError",
    "Packages",
    "Ran",
    "available",
    "run",
]
