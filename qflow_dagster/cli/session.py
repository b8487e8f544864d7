"""The Dagster instance that commands use, and the environment of its processes."""

import os
from typing import TYPE_CHECKING

from qflow_dagster.cli.dagster_configuration import write_instance
from qflow_dagster.database import dagster_url, ensure_database
from qflow_dagster.database.engines import DRIVER
from qflow_dagster.safety.private_folders import private_folder
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


def dagster_environment() -> dict[str, str]:
    """Prepare the home of our Dagster instance, and return the variables that a Dagster process needs to use it."""
    url = dagster_url()
    ensure_database(url.set(drivername=DRIVER))
    private_folder(settings().home)
    return {
        "DAGSTER_HOME": str(write_instance()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "QFLOW_DAGSTER_URL": url.render_as_string(hide_password=False),
        "QFLOW_HOME": str(settings().home.absolute()),
    }


def dagster_instance() -> "DagsterInstance":
    """Dagster's instance on our server (imports Dagster: seconds)."""
    os.environ.update(dagster_environment())
    from dagster import DagsterInstance

    return DagsterInstance.get()
