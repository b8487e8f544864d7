"""What the breaker's concurrency test runs in processes of its own: one call through a half-open breaker."""

import sys
import time

from sqlalchemy import make_url

from qflow_dagster.database import engine_for
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker


def main() -> None:
    engine = engine_for(make_url(sys.argv[1]))
    with engine.connect():
        pass
    print("ready", flush=True)
    time.sleep(max(float(sys.stdin.readline()) - time.time(), 0))
    try:
        with through_breaker(engine, "model"):
            # As long as a real call: the others come meanwhile.
            time.sleep(1.0)
        print("through")
    except CircuitOpenError as refusal:
        print(f"refused for {refusal.seconds:.0f}")


main()
