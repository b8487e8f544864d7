"""Sensors: what reacts to tables and repositories.

Belongs here: a read, a pure decision, a result. Does not belong here: work of any length;
a tick stays under a second.
"""
