"""Sensors: what reacts to tables and repositories. The file is named after the asset group of the job.

A tick reads, decides and returns a result, in less than a second; work of any length belongs in the run. Shared by
sensors: when pending rows get a run (`drains`), runs that rows request (`requested_runs`), killed runs (`dead_runs`).
"""
