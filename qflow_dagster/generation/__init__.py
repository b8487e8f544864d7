"""Changing code."""
