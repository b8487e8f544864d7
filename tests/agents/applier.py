"""What the kill tests run in a process of its own: generates, applies, verifies, follows,
and dies by kill -9 at a point.
"""

import os
import signal

from sqlalchemy import make_url

from qflow_dagster.agents import edit_commits, edit_lifecycle, edit_verification, edits, self_improvement
from qflow_dagster.database import engine_for
from qflow_dagster.generation import candidate_records, orchestrator, single

POINTS = {
    "ask": (orchestrator, "call_generators"),
    "judge": (orchestrator, "run_gates"),
    "store": (candidate_records, "store"),
    "suggest": (self_improvement, "suggest"),
    "authorize": (edits, "authorize_edit"),
    "make_commit": (edit_commits, "make_commit"),
    "record": (candidate_records, "record_outcome"),
    "set_branch": (edit_commits, "set_branch"),
    "verify": (edit_verification, "measure"),
    "change": (single, "try_items"),
    "request": (self_improvement, "suggest"),
    "rebase": (edit_commits, "rebase"),
    "move": (edit_lifecycle, "transition"),
    "delete": (edit_commits, "delete_branch"),
}


def generate_apply_verify(url: str, point: str) -> None:
    """Die at `point`, which is `function:before` or `function:after`."""
    name, when = point.split(":")
    module, function = POINTS[name]
    real = getattr(module, function)

    def dying(*arguments: object, **options: object) -> object:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, function, dying)
    engine = engine_for(make_url(url))
    orchestrator.work(engine, worker="doomed", accept=lambda c, k: self_improvement.suggest(c, k) and None)
    edits.apply_approved(engine, worker="doomed")
    edit_verification.verify_applied(engine)
    edit_lifecycle.follow_targets(engine)
