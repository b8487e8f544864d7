"""The `qflow` command: `qflow NOUN VERB`, one module per noun.

Belongs here: arguments in, tables or JSON out, errors as one line. Does not belong here:
anything a domain should know. Heavy imports (Dagster, pandas) happen inside commands, so
that `qflow --help` answers at once.
"""

import os
import sys
import tempfile
import traceback
from importlib import import_module
from typing import Any

import typer
from sqlalchemy.exc import DBAPIError, OperationalError
from typer.core import TyperCommand, TyperGroup

from qflow_dagster.cli.output import messages
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.safety.redaction import redact_text

# Set while commands are only listed.
_LISTING = f"{__name__}.listing"
# Noun -> its help text; the module of that name is imported when the noun is used.
NOUNS = {
    "repos": "Registered repositories: add, list, show, remove.",
    "workflows": "Workflows: list, show, history; retry, cancel, pause, resume.",
    "history": "The tamper-evident history of all workflows.",
    "approvals": "Approvals: request, list, show, approve, deny, revoke, use, export.",
    "inbox": "The inbox page for decisions; health, metrics and error intake over HTTP; the notifier.",
    "errors": "Errors: track, list, show, rates; ack, resolve, mute, reopen.",
    "breakers": "Circuit breakers: list, show, reset; hold open or closed.",
    "findings": "Findings: list, summary, show, suppress, restore, baseline, export, import.",
    "rules": "Rules: list, show, history, test; evolve, mine, promote, retire, veto, thresholds; "
    "publish, import, distrust.",
    "work": "The plan: list, tree, next, show, progress; add, set, move, depend, decide; import, export.",
    "suggestions": "Suggestions: list, show, exclude, statistics.",
    "edits": "Edits: list, show, apply, follow, revert, close, push, export.",
    "tasks": "Task graphs: submit, work, list, show, graph; retry, amend, cancel.",
    "sparc": "Goals through the five SPARC phases: start, work, list, show, strategies; resume, abandon.",
    "agent": "Agents: register, list, show, availability, work; assign, assignments, message, statistics.",
    "knowledge": "Knowledge requests: add, list, show, retry, resolve; work, listen.",
    "health": "Health: the status of everything; incidents, services, maintenance.",
    "notify": "Notifications: add, list, test, remove endpoints; work.",
    "db": "The PostgreSQL server: address, migrations, psql, stop.",
}
# Commands without a noun -> module and help text.
VERBS = {
    "run": ("run", "Run the whole loop on a repository, up to what awaits approval."),
    "demo": (
        "demo",
        "Show the whole loop on a made-up repository, to a reverted change and a promoted rule.",
    ),
    "up": ("up", "Start PostgreSQL, Dagster's daemon and web page, and the inbox."),
    "daemon": ("daemon", "Dagster's daemon by itself: sensors, schedules, the run queue."),
    "worker": ("worker", "Execute runs on this machine, besides those that `qflow up` executes."),
    "ask": ("ask", "Ask a question about a repository, and get the answer with its evidence."),
    "hotspots": ("metrics", "Hotspots: complex files that change often."),
    "metrics": ("metrics", "Metrics of a repository, its files and functions."),
    "listen": ("listen", "Follow a queue's messages as they come."),
    "identity": ("identity", "The name you act under; sign a token that lets a script act under a name."),
    "config": ("config", "Every setting, its value and where it comes from."),
}


class LazyGroup(TyperGroup):
    """Imports a command's module only when the command is used: importing all of them takes a second.

    Contexts and commands are typer's: which classes those are depends on its version.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return verbs, then nouns, in the order of the tables."""
        return [*VERBS, *NOUNS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name, importing its module now."""
        if cmd_name not in VERBS and cmd_name not in NOUNS:
            return None
        description = VERBS[cmd_name][1] if cmd_name in VERBS else NOUNS[cmd_name]
        if ctx.meta.get(_LISTING):
            return TyperCommand(cmd_name, help=description)
        if cmd_name in VERBS:
            command_app = typer.Typer(add_completion=False)
            module = import_module(f"{__name__}.{VERBS[cmd_name][0]}")
            command_app.command(cmd_name)(getattr(module, cmd_name))
        else:
            command_app = import_module(f"{__name__}.{cmd_name}").app
            command_app.info.help = description
            # A noun is not a program of its own: the options to install completion belong to the root.
            command_app._add_completion = False
        command = typer.main.get_command(command_app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Format the list of commands without importing any."""
        ctx.meta[_LISTING] = True
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="qflow",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Point it at a git repository: it ingests the code, measures it and shows its hotspots.\n\n"
        "Start with `qflow run` in a checkout, then `qflow hotspots`, then `qflow up` for the web page.\n\n"
        "Lists take `--json`. Exit codes: 0 done, 1 failed, 2 wrong usage."
    ),
)


@app.callback()
def root() -> None:
    """Do nothing: typer needs a callback to make the app a group."""


def main() -> None:
    """Run the command line; every error a person can fix is one line on stderr."""
    try:
        app()
    except QflowError as error:
        _fail(str(error), error.exit_code)
    except DBAPIError as error:
        _fail(_database_message(error), 1)
    except BrokenPipeError:
        # The reader (head, less) has ended; that is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        _fail(_report(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; unfinished work is rolled back, the next run resumes", 130)


def _report(error: Exception) -> str:
    """Return an unexpected error as one line, and store its traceback in a file."""
    # Imported here: `qflow --help` needs no settings.
    from qflow_dagster.settings import settings

    try:
        # Not in /tmp, where others could create a file of that name first; mkstemp creates it for us alone.
        folder = settings().home / "errors"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, report = tempfile.mkstemp(prefix="error-", suffix=".txt", dir=folder)
        with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
            file.write(redact_text("".join(traceback.format_exception(error))))
        hint = f"; please report it with {report}"
    except (OSError, UsageError):
        hint = ""
    return f"unexpected {type(error).__name__}: {redact_text(str(error))}{hint}"


def _fail(message: str, code: int) -> None:
    messages.print("error:", style="bold red", end=" ")
    messages.print(message)
    sys.exit(code)


def _database_message(error: DBAPIError) -> str:
    """Return a database error as one line: the reason and the remedy, without the statement."""
    reason = " ".join(str(error.orig).split("\n")[0].split())
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return (
            f"the database is not reachable: {reason}; check QFLOW_DATABASE_URL (qflow db url), "
            "or unset it to use the embedded server; unfinished work is rolled back; run the command again"
        )
    return f"the database refused: {reason}"
