"""Schedules: runs at fixed times. Each file is named after the asset group of its jobs."""
