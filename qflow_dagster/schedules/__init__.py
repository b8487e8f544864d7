"""Schedules: what runs by the clock. The file is named after the asset group of the job."""
