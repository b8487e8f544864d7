"""Reading repositories: git objects of a commit -> files, symbols, imports, commits.

(In the seed text: HTDAG auto code ingestion.) A path or URL is registered (``repositories``),
a commit becomes a snapshot (``pipeline.ingest``), the history behind it is stored
(``history.ingest_history``), readers ask ``queries``. Nothing of a repository is ever run;
git is called through ``git`` alone, SQL that writes is in ``store`` and ``history``.
"""

from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED

CODE_INGESTION = register("code_ingestion", machine=RECORDED, queue="code_ingestion_notifications").name
HISTORY_INGESTION = register("history_ingestion", machine=RECORDED, queue="code_ingestion_notifications").name
