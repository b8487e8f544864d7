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
from qflow_dagster.generation.generators.protocol import Request, Surroundings
from qflow_dagster.generation.generators.ruff_fix import RuffFix

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
    "near_files": {"loop-over-open-file"},
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


def test_a_project_that_supports_python_2_gets_a_reason_and_no_change() -> None:
    rule = next(rule for rule in _rules() if rule.id == "python/object-base")
    request = Request(
        repository="project",
        base="0" * 40,
        path="a.py",
        language="python",
        text="class A(object):\n    pass\n",
        rule=rule,
        target="py27",
        findings=(),
    )
    [proposal] = RuffFix().generate(request)
    assert (proposal.contents, [location.line for location in proposal.withheld]) == ({}, [1])
    assert "Python 2" in proposal.withheld[0].reason


def test_names_that_other_files_import_are_not_unused() -> None:
    rule = next(rule for rule in _rules() if rule.id == "python/unused-import")
    text = "import json\nfrom collections import OrderedDict\n"

    def changed(imported: frozenset[str] | None) -> str:
        request = Request(
            repository="project",
            base="0" * 40,
            path="shapes.py",
            language="python",
            text=text,
            rule=rule,
            target="py311",
            findings=(),
            surroundings=Surroundings(imported_names=imported),
        )
        [proposal] = RuffFix().generate(request)
        return proposal.contents.get("shapes.py", text)

    assert changed(None) == text
    assert changed(frozenset({"OrderedDict"})) == "from collections import OrderedDict\n"
    assert changed(frozenset()) == ""
