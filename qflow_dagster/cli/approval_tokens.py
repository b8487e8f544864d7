"""`qflow approvals token`, `tokens` and `revoke-token`: personal tokens for the HTTP API.

Does not belong here: tokens of approvals (`cli.approvals`), names on the command line (`cli.identity`).
"""

from typing import Annotated

import typer

from qflow_dagster.cli.output import JsonFlag, actor_name, console, print_json, print_rows, print_text
from qflow_dagster.database import ready_engine
from qflow_dagster.quantumflow import resolve

app = typer.Typer()


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="The person that the token stands for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, request (also comments) or decide; repeat it. Default: read."),
    ] = None,
    days: Annotated[float, typer.Option(help="Days the token is valid.")] = 30,
) -> None:
    """Make a personal token for the HTTP API; it is printed this once, and acts under that name."""
    from qflow_dagster.web import api_tokens

    with ready_engine().begin() as connection:
        id_, made = api_tokens.issue(connection, name, scope or ["read"], days=days, actor=actor_name(None))
    console.print(f"id {id_}; to end it: qflow approvals revoke-token {id_}")
    print_text(made)


@app.command()
def tokens(json: JsonFlag = False) -> None:
    """List personal tokens for the HTTP API, newest first."""
    from qflow_dagster.web import api_tokens

    with ready_engine().connect() as connection:
        rows = api_tokens.find(connection)
    print_json(rows) if json else print_rows(rows, empty="No token.")


@app.command("revoke-token")
def revoke_token(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Id of the token, or a prefix.")],
) -> None:
    """Revoke a personal token: it is refused from now on."""
    from qflow_dagster.web import api_tokens

    with ready_engine().begin() as connection:
        whole = resolve(connection, id_, table="api_tokens", noun="token")
        api_tokens.revoke(connection, whole)
    console.print(f"{whole} revoked")
