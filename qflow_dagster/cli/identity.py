"""`qflow identity`: the name under which commands act, and tokens that establish another name."""

from typing import Annotated

import typer

from qflow_dagster.cli.output import console, print_text


def identity(
    name: Annotated[
        str | None, typer.Argument(help="The name to sign a token for; default: print yours.")
    ] = None,
    days: Annotated[float, typer.Option(help="Days the token is valid.")] = 30,
) -> None:
    """Print the name you act under, or sign a token for another: QFLOW_IDENTITY=TOKEN qflow approvals approve ID.

    The holder of a token decides under its name: treat it as a password, and do not put it on a command line.
    """
    from qflow_dagster.web import identities

    if name is None:
        console.print(identities.established())
        return
    print_text(identities.sign(name, days=days))
