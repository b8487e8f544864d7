"""The rule pack: its examples hold, and its rules find what they should in the sample project."""

import json
import subprocess
from collections.abc import Callable

from tests.cli.test_commands import ok
from tests.examples.conftest import EXAMPLES
from tests.improvement_loop import Loop
from tests.ingestion.conftest import GitRepository

PACK = EXAMPLES / "rule_pack"


def test_every_rule_does_what_its_examples_say(
    qflow: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert "4 rules, 0 failed" in ok(qflow("rules", "test", str(PACK / "team.yaml")))


def test_its_rules_find_and_fix_the_sample_project(
    shop: GitRepository, loop: Loop, use_settings: Callable[[str, str], None]
) -> None:
    use_settings("QFLOW_RULES_FOLDERS", json.dumps([str(PACK)]))
    suggestions = loop.improve()
    found = {(rule, path) for rule, path, _ in loop.open() if rule.startswith("team/")}
    files = ("shop/__init__.py", "shop/cart.py", "shop/mail.py", "tests/test_cart.py")
    assert found == {
        ("team/old-mail-function", "shop/cart.py"),
        *(("team/license-header", path) for path in files),
    }
    assert "The old function for mail to customers: shop/cart.py" in {row["title"] for row in suggestions}
