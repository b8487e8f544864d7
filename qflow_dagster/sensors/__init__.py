"""Sensors: reactions to changes of tables and repositories. Each file is named after an asset group.

A tick reads, decides and returns a result in less than a second; longer work belongs in the run. Shared by
sensors: runs for pending rows (`drains`), runs requested by rows (`requested_runs`), killed runs (`dead_runs`).
"""
