"""Three job queues on PostgreSQL behind one face: this project's core, Procrastinate, PgQueuer.

Belongs here: how each is told to create, drain and listen, with the settings its own
documentation recommends. Does not belong here: what is measured (`core`).
Run by `core` in processes of its own: `queues.py SYSTEM COMMAND URL NUMBER`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, make_url

PAYLOAD: dict[str, Any] = {"repository": "main", "path": "qflow_dagster/quantumflow/transitions.py"}
CHUNK = 1_000


class Qflow:
    """The durable core: hash-chained history of every transition, leases, dependencies."""

    bulk_batch = 500

    def __init__(self, url: URL) -> None:
        from qflow_dagster.database import engine_for, migrate
        from qflow_dagster.quantumflow import register

        self.engine = engine_for(url)
        migrate(self.engine)
        register("benchmark.job")

    def create_single(self, number: int) -> None:
        from qflow_dagster.quantumflow import create_workflow

        # One statement is atomic by itself.
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for _ in range(number):
                create_workflow(connection, "benchmark.job", PAYLOAD, actor="benchmark")

    def create_bulk(self, number: int) -> None:
        from qflow_dagster.quantumflow import NewWorkflow, create_workflows

        for _ in range(number // CHUNK):
            new = [NewWorkflow(type="benchmark.job", payload=PAYLOAD) for _ in range(CHUNK)]
            with self.engine.begin() as connection:
                create_workflows(connection, new, actor="benchmark")

    def drain(self, batch: int) -> None:
        from qflow_dagster.quantumflow import complete_and_claim

        # What is done and what is next, in one statement: the loop of a worker.
        held = None
        with self.engine.connect() as connection:
            while held is None or held:
                held = complete_and_claim(connection, held or [], "benchmark.job", worker="w", limit=batch)
                connection.commit()

    def send(self, number: int, pause: float) -> None:
        from qflow_dagster.quantumflow import send_with_notify

        for _ in range(number):
            with self.engine.begin() as connection:
                send_with_notify(connection, "benchmark", [time.time()])
            time.sleep(pause)

    def hear(self, number: int) -> None:
        from qflow_dagster.quantumflow import listen

        for _, message in zip(range(number), listen(self.engine, "benchmark", "ear"), strict=False):
            print(json.dumps(time.time() - message.payload), flush=True)


class Procrastinate:
    """Procrastinate with its psycopg pool; jobs run as coroutines of one worker."""

    bulk_batch = 10

    def __init__(self, url: URL) -> None:
        import procrastinate

        self.app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=url.set(drivername="postgresql").render_as_string(hide_password=False)
            )
        )

        @self.app.task(name="job")
        async def job(**payload: str) -> None:
            pass

        @self.app.task(name="told")
        async def told(sent: float) -> None:
            print(json.dumps(time.time() - sent), flush=True)

        self.job, self.told = job, told

    def _run(self, work: Callable) -> None:
        async def main() -> None:
            async with self.app.open_async():
                await work()

        asyncio.run(main())

    def install(self) -> None:
        self._run(lambda: self.app.schema_manager.apply_schema_async())

    def create_single(self, number: int) -> None:
        async def work() -> None:
            for _ in range(number):
                await self.job.defer_async(**PAYLOAD)

        self._run(work)

    def create_bulk(self, number: int) -> None:
        async def work() -> None:
            for _ in range(number // CHUNK):
                await self.job.batch_defer_async(*[PAYLOAD] * CHUNK)

        self._run(work)

    def drain(self, batch: int) -> None:
        self._run(lambda: self.app.run_worker_async(concurrency=batch, wait=False))

    def send(self, number: int, pause: float) -> None:
        async def work() -> None:
            for _ in range(number):
                await self.told.defer_async(sent=time.time())
                await asyncio.sleep(pause)

        self._run(work)

    def hear(self, number: int) -> None:
        self._run(lambda: self.app.run_worker_async(concurrency=10))


class PgQueuer:
    """PgQueuer with asyncpg, the faster of its drivers, and its own batch size."""

    bulk_batch = 10

    def __init__(self, url: URL) -> None:
        self.url = url

    def _run(self, work: Callable) -> None:
        async def main() -> None:
            import asyncpg
            from pgqueuer import AsyncpgDriver
            from pgqueuer.queries import Queries

            host = self.url.query.get("host", self.url.host)
            connection = await asyncpg.connect(
                host=host,
                port=self.url.port,
                user=self.url.username,
                database=self.url.database,
                password=self.url.password,
            )
            driver = AsyncpgDriver(connection)
            await work(driver, Queries(driver))

        asyncio.run(main())

    def install(self) -> None:
        async def work(_driver, queries) -> None:
            await queries.install()

        self._run(work)

    def create_single(self, number: int) -> None:
        async def work(_driver, queries) -> None:
            for _ in range(number):
                await queries.enqueue("job", json.dumps(PAYLOAD).encode())

        self._run(work)

    def create_bulk(self, number: int) -> None:
        async def work(_driver, queries) -> None:
            for _ in range(number // CHUNK):
                await queries.enqueue(["job"] * CHUNK, [json.dumps(PAYLOAD).encode()] * CHUNK, [0] * CHUNK)

        self._run(work)

    def drain(self, batch: int) -> None:
        async def work(driver, _queries) -> None:
            from pgqueuer import PgQueuer as Application
            from pgqueuer.domain.types import QueueExecutionMode

            application = Application(driver)

            @application.entrypoint("job")
            async def job(_job) -> None:
                pass

            await application.run(batch_size=batch, mode=QueueExecutionMode.drain)

        self._run(work)

    def send(self, number: int, pause: float) -> None:
        async def work(_driver, queries) -> None:
            for _ in range(number):
                await queries.enqueue("told", json.dumps(time.time()).encode())
                await asyncio.sleep(pause)

        self._run(work)

    def hear(self, number: int) -> None:
        async def work(driver, _queries) -> None:
            from pgqueuer import PgQueuer as Application

            application = Application(driver)

            @application.entrypoint("told")
            async def told(job) -> None:
                print(json.dumps(time.time() - json.loads(job.payload)), flush=True)

            await application.run()

        self._run(work)


class PgQueuerTuned(PgQueuer):
    """The same with the batch size that drained fastest here, of 10, 100 and 500."""

    bulk_batch = 500


SYSTEMS = {
    "qflow": Qflow,
    "procrastinate": Procrastinate,
    "pgqueuer": PgQueuer,
    "pgqueuer tuned": PgQueuerTuned,
}

if __name__ == "__main__":
    system, command, address, number = sys.argv[1:]
    queue = SYSTEMS[system](make_url(address))
    # Imports and connections are not what is measured: say when they are done, go on when told.
    print("ready", flush=True)
    sys.stdin.readline()
    getattr(queue, command)(int(number))
