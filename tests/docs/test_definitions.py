"""What the documentation says of definitions: asset keys, sensors and schedules, the number of rules."""

import re
from pathlib import Path

import pytest

from qflow_dagster.definitions import definitions
from qflow_dagster.evolution import outcomes
from qflow_dagster.evolution.rules import load_rules
from tests.docs.test_names import CODE_SPAN, PAGES, ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
KEYS = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
GROUPS = {key.split("/")[0] for key in KEYS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_assets_in_the_documentation_exist(page: Path) -> None:
    """`group/name` in backticks is an asset, or a folder of the package."""
    spans = [span for _, span in CODE_SPAN.findall(page.read_text()) if re.fullmatch(r"[a-z]+/[a-z_]+", span)]
    folders = [span for span in spans if (ROOT / "qflow_dagster" / span).is_dir()]
    mentioned = {span for span in spans if span.split("/")[0] in GROUPS and span not in folders}
    assert sorted(mentioned - KEYS) == []


def test_the_table_of_sensors_and_schedules_is_whole() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| (sensor|schedule) \|", OPERATIONS.read_text(), re.MULTILINE)
    listed = {(name, kind) for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    repository = definitions.get_repository_def()
    there = {(sensor.name, "sensor") for sensor in repository.sensor_defs}
    there |= {(schedule.name, "schedule") for schedule in repository.schedule_defs}
    assert listed == there


@pytest.mark.parametrize("page", ["README.md", "docs/improvement_loop.md"])
def test_the_rules_are_counted(page: str) -> None:
    rules = load_rules()
    stated = re.search(r"(\d+) rules.{0,30} (\d+) of them with a fix", (ROOT / page).read_text())
    assert stated is not None
    assert [int(number) for number in stated.groups()] == [
        len(rules),
        sum(rule.fix is not None for rule in rules),
    ]


def test_every_kind_of_outcome_is_described() -> None:
    table = (ROOT / "docs" / "evolution.md").read_text()
    rows = re.findall(
        r"^\| ([a-z, ]+) \|", table.partition("## Outcomes")[2].partition("\n##")[0], re.MULTILINE
    )
    assert {kind for row in rows for kind in row.split(", ")} - {"kind"} == set(outcomes.KINDS)
