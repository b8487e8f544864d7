"""Where Dagster's page and daemon find the definitions: in their own process, or in the code servers of a workspace.

A code server of its own keeps code apart that needs another environment. Our definitions are part of the same
program: a second process for them, and copies of what it says in each of the others, cost a hundred MiB.
"""

import sys
from pathlib import Path

from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import (
    InProcessWorkspaceLoadTarget,
    WorkspaceFileTarget,
    WorkspaceLoadTarget,
)

from qflow_dagster import definitions

MODULE = definitions.__name__


def load_target(workspace: Path | None) -> WorkspaceLoadTarget:
    """Return what Dagster loads: the code locations of a `workspace.yaml`; by default ours, in this process."""
    if workspace is not None:
        return WorkspaceFileTarget([str(workspace)])
    origin = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    return InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name=MODULE))
