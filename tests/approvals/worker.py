"""What the concurrency tests run: acts on approvals, each in a process of its own, all at one moment.

The acts come as JSON on standard input; the answers go out as JSON. The processes are forked
after the imports, which would take longer than all else, and connect for themselves.
"""

import json
import os
import sys
import time
from uuid import UUID

from sqlalchemy import make_url

from qflow_dagster.approvals import arbiter, authorization, records
from qflow_dagster.database import engine_for
from qflow_dagster.errors import QflowError


def act(url: str, verb: str, about: str, name: str, ready: int, go: int) -> dict[str, str]:
    """One act; says on `ready` that it is, waits until something comes from `go`: the moment."""
    engine = engine_for(make_url(url))
    with engine.connect():
        pass
    os.write(ready, b"r")
    time.sleep(max(float(os.read(go, 32)) - time.time(), 0))
    try:
        with engine.begin() as connection:
            match verb:
                case "use":
                    used = authorization.authorize_edit(
                        connection, about, "src/a.py", {"patch": "x"}, actor=name
                    )
                    return {"ok": str(used.approval_id)}
                case "approve" | "deny":
                    digest = records.show(connection, UUID(about))["digest"]
                    decide = arbiter.approve if verb == "approve" else arbiter.deny
                    return {"ok": decide(connection, UUID(about), actor=name, digest=digest).status}
                case _:
                    arbiter.revoke(connection, UUID(about), actor=name, reason="race")
                    return {"ok": "revoked"}
    except QflowError as error:
        return {"refused": getattr(error, "reason", str(error))}


def main() -> None:
    url = sys.argv[1]
    acts = json.loads(sys.stdin.readline())
    ready_in, ready_out = os.pipe()
    children = []
    for verb, about, name in acts:
        go_in, go_out = os.pipe()
        answer_in, answer_out = os.pipe()
        if os.fork() == 0:
            os.write(answer_out, json.dumps(act(url, verb, about, name, ready_out, go_in)).encode())
            os._exit(0)
        os.close(answer_out)
        children.append((go_out, answer_in))
    waiting = len(acts)
    while waiting:
        waiting -= len(os.read(ready_in, waiting))
    print("ready", flush=True)
    start = sys.stdin.readline().strip().encode().ljust(32)
    for go_out, _ in children:
        os.write(go_out, start)
    print(json.dumps([json.loads(os.fdopen(answer_in).read()) for _, answer_in in children]))


main()
