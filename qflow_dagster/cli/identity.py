"""`qflow identity`: the name under which commands act, and tokens that establish another one."""

from typing import Annotated

import typer

from qflow_dagster.cli.output import console, print_text


def identity(
    name: Annotated[str | None, typer.Argument(help="Whose name to sign; default: print yours.")] = None,
    days: Annotated[float, typer.Option(help="How long the token holds.")] = 30,
) -> None:
    """Print the name you act under, or sign a token for another: QFLOW_IDENTITY=TOKEN qflow approvals approve ID.

    Who holds a token decides under its name: hand it over as a password, and do not put it on a command line.
    """
    from qflow_dagster.web import identities

    if name is None:
        console.print(identities.established())
        return
    print_text(identities.sign(name, days=days))
