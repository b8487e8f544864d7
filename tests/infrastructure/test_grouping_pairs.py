"""Pairs of printed stack traces in thirteen formats, labelled by the published rules of grouping: see the table beside."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from qflow_dagster.infrastructure.fingerprints import fingerprint
from qflow_dagster.infrastructure.stacks import chain_of

TABLE = Path(__file__).parent / "grouping_pairs.yaml"
Pair = tuple[str, bool, dict[str, str], bytes, bytes]


def pairs() -> Iterator[Pair]:
    """Yield format, label, edit, and the fingerprints of a trace and of the edited one."""
    for name, language in yaml.safe_load(TABLE.read_text()).items():
        kind, trace = language["kind"], language["trace"]
        before = fingerprint(chain_of(kind, "m", trace))
        for label in ("same", "different"):
            for edit in language[label]:
                edited = trace
                for old, new in edit.items():
                    assert old == "kind" or old in edited, f"{name}: nothing to replace by {edit}"
                    edited = edited.replace(old, new) if old != "kind" else edited
                after = fingerprint(chain_of(edit.get("kind", kind), "m", edited))
                yield name, label == "same", edit, before, after


def test_labelled_pairs_are_grouped_as_the_published_rules_say() -> None:
    judged = list(pairs())
    wrong = [(name, same, edit) for name, same, edit, before, after in judged if (before == after) != same]
    assert len(judged) == 200
    assert wrong == []
