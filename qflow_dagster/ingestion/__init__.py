"""Reading repositories: git objects of a commit -> files, symbols, imports, commits.

A path or URL is registered (``repositories``), a commit becomes a snapshot (``pipeline.ingest``),
its history is stored (``history.ingest_history``), readers use ``queries``. No code of a repository
is executed; git is called only through ``git``, SQL that writes is in ``store`` and ``history``.

Nothing is imported here: the worker processes import this package, and start in half the time
without a database driver.
"""
