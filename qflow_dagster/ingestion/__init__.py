"""Reading repositories: git objects of a commit -> files, symbols, imports, commits.

(In the seed text: HTDAG auto code ingestion.) A path or URL is registered (``repositories``),
a commit becomes a snapshot (``pipeline.ingest``), the history behind it is stored
(``history.ingest_history``), readers ask ``queries``. Nothing of a repository is ever run;
git is called through ``git`` alone, SQL that writes is in ``store`` and ``history``.

Nothing is imported here: the worker processes import this package, and start in half the time
without a database driver.
"""
