"""What the concurrency tests run in processes of their own: one act on an approval, at a given moment."""

import json
import sys
import time
from uuid import UUID

from sqlalchemy import make_url

from qflow_dagster.agents import arbiter
from qflow_dagster.database import engine_for
from qflow_dagster.errors import QflowError


def main() -> None:
    url, verb, about, name = sys.argv[1:5]
    engine = engine_for(make_url(url))
    with engine.connect():
        pass
    print("ready", flush=True)
    time.sleep(max(float(sys.stdin.readline()) - time.time(), 0))
    try:
        with engine.begin() as connection:
            match verb:
                case "use":
                    used = arbiter.authorize_edit(connection, about, "src/a.py", {"patch": "x"}, actor=name)
                    answer = str(used.approval_id)
                case "approve":
                    answer = arbiter.approve(connection, UUID(about), actor=name).status
                case "deny":
                    answer = arbiter.deny(connection, UUID(about), actor=name).status
                case _:
                    arbiter.revoke(connection, UUID(about), actor=name, reason="race")
                    answer = "revoked"
        print(json.dumps({"ok": answer}))
    except QflowError as error:
        print(json.dumps({"refused": getattr(error, "reason", str(error))}))


main()
