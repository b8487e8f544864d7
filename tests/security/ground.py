"""What attempts stand on that need more than a folder: one embedded database, made when it is first asked for."""

import threading
from functools import cache

from sqlalchemy import Engine

from tests.folders import new_home

_lock = threading.Lock()


@cache
def _engine() -> Engine:
    from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
    from qflow_dagster.settings import settings

    home = new_home("qf-")
    settings().home = home
    embedded.start(home)
    url = embedded.url(home)
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    return engine


def engine() -> Engine:
    """The engine of a migrated database, shared by all attempts of this process."""
    with _lock:
        return _engine()


def close() -> None:
    """Stop the server, if one was started."""
    import shutil

    from qflow_dagster.database import embedded
    from qflow_dagster.settings import settings

    if _engine.cache_info().currsize:
        _engine().dispose()
        embedded.stop(settings().home)
        shutil.rmtree(embedded.data_folder(settings().home), ignore_errors=True)
        shutil.rmtree(settings().home, ignore_errors=True)
