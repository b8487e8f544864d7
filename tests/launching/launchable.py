"""Definitions to launch: jobs, and an asset with partitions."""

import time
from pathlib import Path

import dagster as dg


@dg.op
def nothing() -> None:
    pass


@dg.job
def small() -> None:
    nothing()


@dg.op(config_schema={"file": str, "until": str, "mebibytes": dg.Field(int, default_value=0)})
def write_and_wait(context: dg.OpExecutionContext) -> None:
    """Use some memory, add a line to a file, then wait until another exists."""
    assert len(bytes([1]) * (context.op_config["mebibytes"] << 20)) == context.op_config["mebibytes"] << 20
    with Path(context.op_config["file"]).open("a") as file:
        file.write(f"{context.run_id}\n")
    while not Path(context.op_config["until"]).exists():
        time.sleep(0.01)


@dg.job(executor_def=dg.in_process_executor)
def waiting() -> None:
    write_and_wait()


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def parts() -> None:
    pass


definitions = dg.Definitions(assets=[parts], jobs=[small, waiting])
