"""Tests without a name of their own: each line of their calls is named, with the title of the test."""

import pytest

from tests.knowledge.test_uses import Ask, ask, ingested, make_repository, repository

__all__ = ["ask", "ingested", "make_repository", "repository"]

_SCRIPT = "import {{ heat }} from '{0}'\n\ndescribe('oven', () => {{\n  it('bakes', () => {{\n    heat(1)\n    heat(2)\n  }})\n}})\n"
# The file that defines `heat`, and a test file whose lines 5 and 6 call it in the test "bakes".
FILES = {
    "TypeScript": {
        "src/oven.ts": "export function heat(x: number) {}\n",
        "tests/oven.test.ts": _SCRIPT.format("../src/oven"),
    },
    "JavaScript": {
        "src/oven.js": "export function heat(x) {}\n",
        "tests/oven.test.js": _SCRIPT.format("../src/oven.js"),
    },
    "TSX": {
        "src/oven.ts": "export function heat(x: number) {}\n",
        "tests/oven.test.tsx": _SCRIPT.format("../src/oven"),
    },
    "Ruby": {
        "lib/oven.rb": "def heat(x)\nend\n",
        "spec/oven_spec.rb": "require 'oven'\n\ndescribe 'oven' do\n  it 'bakes' do\n    heat(1)\n    heat(2)\n  end\nend\n",
    },
    "PHP": {
        "src/oven.php": "<?php\nfunction heat($x) {}\n",
        "tests/OvenTest.php": "<?php\n\n// Oven.\nit('bakes', function () {\n    heat(1);\n    heat(2);\n});\n",
    },
    "Kotlin": {
        "src/main/kotlin/Oven.kt": "fun heat(x: Int) {}\n",
        "src/test/kotlin/OvenTest.kt": '// Oven.\n\nval tests = register {\n  test("bakes") {\n    heat(1)\n    heat(2)\n  }\n}\n',
    },
}


@pytest.mark.parametrize("language", FILES)
def test_each_line_of_a_test_without_a_name_is_named_with_its_title(language: str, ask: Ask) -> None:
    test = list(FILES[language])[-1]
    answer = ask(FILES[language], "which tests cover heat?")
    assert f"'bakes' ({test}:5), 'bakes' ({test}:6)" in answer.words
    assert {(test, 5), (test, 6)} <= {(item.path, item.line) for item in answer.evidence}


def test_of_many_lines_of_a_file_the_first_are_named(ask: Ask) -> None:
    calls = "".join(f"it('bakes {number}', () => heat({number}))\n" for number in range(9))
    files = {
        "src/oven.js": "export function heat(x) {}\n",
        "tests/oven.test.js": f"import {{ heat }} from '../src/oven.js'\n{calls}",
    }
    answer = ask(files, "which tests cover heat?")
    assert "'bakes 4' (tests/oven.test.js:6)" in answer.words
    assert "'bakes 5'" not in answer.words
    assert any("more than 5: tests/oven.test.js" in limit for limit in answer.limits)


def test_calls_of_two_functions_of_a_name_are_not_mixed(ask: Ask) -> None:
    files = {
        "src/oven.js": "export function heat(x) {}\n",
        "src/pan.js": "export function heat(x) {}\n",
        "tests/oven.test.js": "import { heat } from '../src/oven.js'\nimport * as pan from '../src/pan.js'\n"
        "it('bakes', () => heat(1))\nit('fries', () => pan.heat(2))\n",
    }
    words = ask(files, "which tests cover src/oven.js:heat?").words
    assert "'bakes' (tests/oven.test.js:3)" in words
    assert "'fries'" not in words
