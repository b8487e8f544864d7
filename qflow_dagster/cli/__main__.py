"""`python -m qflow_dagster.cli`: the `qflow` command where only the interpreter is known."""

from qflow_dagster.cli import main

main()
