"""An improvement loop for git repositories, on Dagster and PostgreSQL.

The rooms are named for what the platform "QuantumFlow" served: ``ingestion`` reads git
objects into tables, ``metrics`` measures them, ``quantumflow`` is the durable core
(workflows, messages, history), ``database`` the PostgreSQL server underneath. The
Dagster layer (``assets``, ``jobs``, ``sensors``, ``schedules``, ``checks``,
``resources``) is thin; nothing below it imports Dagster.
"""

__version__ = "0.1.0"
