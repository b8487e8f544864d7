"""The rule pack and the generator package: built, put where Python finds it, and called by the improvement loop."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from qflow_dagster.generation.generators import generators
from tests.cli.test_commands import ok
from tests.examples.conftest import EXAMPLES
from tests.improvement_loop import Loop
from tests.ingestion.conftest import GitRepository


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_settings: Callable[..., None]) -> Path:
    """The folder that holds the package as an installer would leave it, on Python's path here and in workers."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "wheels")]
    subprocess.run(build, cwd=EXAMPLES / "generator", check=True, capture_output=True)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    monkeypatch.syspath_prepend(str(site))
    use_settings("PYTHONPATH", str(site))
    return site


def test_its_rules_find_and_fix_the_sample_project(
    installed: Path, shop: GitRepository, loop: Loop, use_settings: Callable[[str, str], None]
) -> None:
    shop.commit({"tool.py": "#!/usr/bin/env python3\nprint('hello')\n"})
    use_settings("QFLOW_RULES_FOLDERS", json.dumps([str(EXAMPLES / "rule_pack")]))
    use_settings("QFLOW_GENERATION_TESTS", "off")
    assert "license-header" in generators()
    suggested = {row["title"] for row in loop.improve()}
    files = ("shop/__init__.py", "shop/cart.py", "shop/mail.py", "tests/test_cart.py", "tool.py")
    assert {(rule, path) for rule, path, _ in loop.open() if rule.startswith("team/")} == {
        ("team/old-mail-function", "shop/cart.py"),
        *(("team/license-header", path) for path in files),
    }
    assert "The old function for mail to customers: shop/cart.py" in suggested
    assert "No license header: 5 locations in 5 files" in suggested
    with loop.engine.connect() as connection:
        patches = connection.scalars(
            text("SELECT patch FROM candidates WHERE sources = ARRAY['license-header']")
        ).all()
    [patch] = patches
    assert " #!/usr/bin/env python3\n+# SPDX-License-Identifier: Apache-2.0\n print('hello')\n" in patch


def test_every_rule_of_the_pack_does_what_its_examples_say(
    qflow: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert "4 rules, 0 failed" in ok(qflow("rules", "test", str(EXAMPLES / "rule_pack" / "team.yaml")))
