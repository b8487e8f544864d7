"""Reported cases: code that a fix broke. What is right is a better fix, or none."""

import shutil
from pathlib import Path

import pytest

from tests.generation.changes.files import FOLDER, compile_java, fixed, run_java, run_javascript

CASES = FOLDER / "cases"
# Changed, and how; every other file stays as it is.
CHANGED = {
    "js-asi-parenthesis/asi.js": (
        "const trace = console.log\n;({ a: 1, b: 2 }).a\n;(2 ** 3).toFixed(1)\n"
    ),
    "js-new-object-arrow/arrow.js": "const make = () => ({});\nconsole.log(typeof make());\n",
    "js-jsx-vue-not-looked-at/x.jsx": "export const y = () => ({});\n",
    "java-float-of-double/A.java": (
        "class A {\n    Float f(double d) { return Float.valueOf((float) d); }\n"
        '    boolean g(Object o) { return o.equals(""); }\n}\n'
    ),
    "java-types/F.java": "class F {\n    Float ratio() { return Float.valueOf((float) 0.5); }\n}\n",
}
JAVASCRIPT = sorted(CASES.glob("*/*.js"))
# `document` is the browser's.
OUTSIDE_NODE = ("flow.js", "nodes.js")


def name_of(path: Path) -> str:
    return str(path.relative_to(CASES))


@pytest.mark.parametrize("path", [*JAVASCRIPT, *CASES.glob("*/*.jsx"), *CASES.glob("*/*.java")], ids=name_of)
def test_a_reported_file_is_changed_as_is_right_or_not_at_all(path: Path) -> None:
    assert fixed(path) == CHANGED.get(name_of(path), path.read_text())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("path", [path for path in JAVASCRIPT if path.name not in OUTSIDE_NODE], ids=name_of)
def test_a_reported_script_prints_the_same_after_its_fixes(path: Path, tmp_path: Path) -> None:
    assert run_javascript(fixed(path), tmp_path) == run_javascript(path.read_text(), tmp_path)


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs javac")
def test_reported_classes_compile_and_print_the_same_after_their_fixes(tmp_path: Path) -> None:
    for case in CASES.glob("java-*"):
        before, after = tmp_path / case.name / "before", tmp_path / case.name / "after"
        for folder, text_of in ((before, Path.read_text), (after, fixed)):
            folder.mkdir(parents=True)
            assert compile_java({path.name: text_of(path) for path in case.glob("*.java")}, folder) == []
        for path in case.glob("*.java"):
            if "void main" in path.read_text():
                assert run_java(path.stem, after) == run_java(path.stem, before)
