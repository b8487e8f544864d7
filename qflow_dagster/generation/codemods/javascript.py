"""Codemods of JavaScript and TypeScript."""

from qflow_dagster.generation.fixes import EditsOf

CODEMODS: dict[str, EditsOf] = {}
