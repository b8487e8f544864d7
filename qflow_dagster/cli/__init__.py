"""The `qflow` command: `qflow NOUN VERB`, one module per noun.

Belongs here: arguments in, tables or JSON out, errors as one line. Does not belong here:
anything a domain should know. Heavy imports (Dagster, pandas) happen inside commands, so
that `qflow --help` answers at once.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import DBAPIError, OperationalError

from qflow_dagster.cli import (
    approvals,
    breakers,
    config,
    db,
    edits,
    errors,
    findings,
    health,
    history,
    inbox,
    listen,
    metrics,
    notify,
    repos,
    rules,
    run,
    suggestions,
    up,
    work,
    workflows,
)
from qflow_dagster.errors import QflowError

app = typer.Typer(
    name="qflow",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Point it at a git repository: it ingests the code, measures it and shows where work pays.\n\n"
        "Start with `qflow run` in a checkout, then `qflow hotspots`, then `qflow up` for the web page.\n\n"
        "Lists take `--json`. Exit codes: 0 done, 1 failed, 2 wrong usage."
    ),
)
app.command("run")(run.run)
app.command("up")(up.up)
app.command("hotspots")(metrics.hotspots)
app.command("metrics")(metrics.metrics)
app.command("listen")(listen.listen)
app.command("config")(config.show)
app.add_typer(repos.app, name="repos")
app.add_typer(workflows.app, name="workflows")
app.add_typer(history.app, name="history")
app.add_typer(approvals.app, name="approvals")
app.add_typer(inbox.app, name="inbox")
app.add_typer(errors.app, name="errors")
app.add_typer(breakers.app, name="breakers")
app.add_typer(findings.app, name="findings")
app.add_typer(rules.app, name="rules")
app.add_typer(work.app, name="work")
app.add_typer(suggestions.app, name="suggestions")
app.add_typer(edits.app, name="edits")
app.add_typer(health.app, name="health")
app.add_typer(notify.app, name="notify")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line; every error a person can mend is one line on stderr."""
    try:
        app()
    except QflowError as error:
        _fail(str(error), error.exit_code)
    except DBAPIError as error:
        _fail(_database_words(error), 1)
    except BrokenPipeError:
        # The reader (head, less) went away; that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        _fail(_report(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; nothing half-done is kept, the next run goes on", 130)


def _report(error: Exception) -> str:
    """An error nobody foresaw, as one line; its trace goes to a file, for whoever mends it."""
    try:
        report = Path(tempfile.gettempdir()) / f"qflow-error-{os.getpid()}.txt"
        report.write_text("".join(traceback.format_exception(error)))
        where = f"; please report it with {report}"
    except OSError:
        where = ""
    return f"unexpected {type(error).__name__}: {error}{where}"


def _fail(message: str, code: int) -> None:
    line = f"[bold red]error:[/] {escape(message)}"
    Console(stderr=True, soft_wrap=True).print(line, highlight=False)
    sys.exit(code)


def _database_words(error: DBAPIError) -> str:
    """A database error as one line: what went wrong and what to do, without the statement."""
    reason = " ".join(str(error.orig).split("\n")[0].split())
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return (
            f"the database is not there or went away: {reason}; check QFLOW_DATABASE_URL (qflow db url), "
            "or unset it to use the embedded server; nothing half-written is kept, run again"
        )
    return f"the database refused: {reason}"
