"""Schedules: what runs by the clock.

Belongs here: a cron line and the runs it requests. Does not belong here: reactions to
tables (``sensors``).
"""
