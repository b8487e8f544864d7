"""Dagster's own server parts inside ours: its page behind our guard, and who launched a run from it.

May import Dagster. Does not belong here: the guard (`web.access`), commands (`cli`).
"""
