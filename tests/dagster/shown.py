"""What Dagster's page shows of a run: checked for every run of these tests."""

import re

import dagster as dg


def refuse_unclear(result: dg.ExecuteInProcessResult) -> None:
    """Pictures come first, tables have typed columns, each asset has numbers to plot, each check says what it found."""
    for event in result.get_asset_materialization_events():
        found = event.materialization.metadata
        values = list(found.values())
        drawn = [
            number
            for number, value in enumerate(values)
            if isinstance(value, dg.MarkdownMetadataValue) and str(value.value).startswith("![picture]")
        ]
        assert drawn == list(range(len(drawn))), (event.asset_key, list(found))
        assert any(isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue) for value in values), (
            event.asset_key
        )
        for name, value in found.items():
            if isinstance(value, dg.TableMetadataValue):
                types = {"string", "int", "float", "bool"}
                assert {column.type for column in value.schema.columns} <= types, (event.asset_key, name)
                columns = {column.name for column in value.schema.columns}
                assert all(set(record.data) == columns for record in value.records), (event.asset_key, name)
    for evaluation in result.get_asset_check_evaluations():
        assert evaluation.metadata, evaluation.check_name
        reason = evaluation.description or ""
        assert re.fullmatch(r"[A-Z0-9].*\.", reason), (evaluation.check_name, reason)
        # A check that passed says so, and a check that failed does not.
        assert evaluation.passed or not reason.startswith("No "), (evaluation.check_name, reason)
