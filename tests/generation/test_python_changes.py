"""What is proposed for small Python files: the right locations, and no other behaviour.

The files lie in `changes/python`: most are counter-examples, reduced from public reports, that must stay byte for
byte. Those that a change is right for are listed in `OFFERED`, with the rules that change them.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from qflow_dagster.evolution import matchers, ruff_matcher
from qflow_dagster.evolution.rules import Rule, evaluated, load_rules
from qflow_dagster.generation.fixed_text import fix_text

FOLDER = Path(__file__).parent / "changes" / "python"
FILES = sorted(path.stem for path in FOLDER.glob("*.py"))
OFFERED: dict[str, set[str]] = {
    "bom": {"comparison-to-none", "object-base"},
    "f": {"format-call"},
    "fmt": {"format-call"},
    "fmt2": {"format-call"},
    "log_pct": {"f-string-without-placeholders", "logging-with-f-string"},
    "log_tuple": {"logging-with-f-string"},
    "meant": {"unused-import"},
    "mut": {"unused-variable"},
    "noqa_bare": {"bare-except"},
    "noqa_mut": {"mutable-default"},
    "piefield": {"duplicate-class-field"},
    "probe": {"unused-import"},
    "probe2": {"unused-import"},
    "qig": {"comparison-to-none"},
    "two": {"comparison-to-none"},
    "typecomment": {"unused-import"},
}


@cache
def _rules() -> list[Rule]:
    return [
        rule
        for rule in evaluated(load_rules())
        if rule.fix is not None and rule.safety != "judgement" and "python" in rule.language
    ]


def _offered(name: str) -> tuple[str, str, set[str]]:
    """Return the text of a file before and after all its changes, and the rules that made them."""
    before = after = (FOLDER / f"{name}.py").read_bytes().decode()
    source = matchers.Source(before, f"{name}.py")
    found = [match.rule for match in matchers.find(source, "python", _rules())]
    found += [match.rule for _, match in ruff_matcher.find_with_ruff([source], _rules(), "py311")]
    changed: set[str] = set()
    for rule in [rule for number, rule in enumerate(_rules()) if number in set(found)]:
        text = fix_text(rule, after, f"{name}.py", "python")
        if text != after:
            changed.add(rule.id.removeprefix("python/"))
        after = text
    return before, after, changed


@pytest.mark.parametrize("name", FILES)
def test_only_what_keeps_behaviour_is_offered(name: str, tmp_path: Path) -> None:
    before, after, changed = _offered(name)
    assert changed == OFFERED.get(name, set())
    if changed:
        assert _run(before, tmp_path) == _run(after, tmp_path)


def _run(code: str, folder: Path) -> tuple[int, str, str]:
    script = folder / "program.py"
    script.write_bytes(code.encode())
    result = subprocess.run(
        [sys.executable, "-I", str(script)], cwd=folder, capture_output=True, text=True, timeout=60
    )
    # The traceback of an uncaught exception shows changed lines; its last line is what was raised.
    return result.returncode, result.stdout, result.stderr.strip().rsplit("\n", 1)[-1]
