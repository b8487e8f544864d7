"""Putting Dagster's own server parts into ours: its page behind our guard (`page`).

May import Dagster. Does not belong here: the guard (`web.access`), commands (`cli`).
"""
