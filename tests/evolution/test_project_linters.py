"""What the repository's own linters ignore is no finding, and rules of style are on only where a linter has them on."""

import pytest
from sqlalchemy import text

from qflow_dagster.evolution import findings, project_linters
from qflow_dagster.evolution.project_linters import STYLE
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.settings import settings
from tests.improvement_loop import Loop

RULES = {rule.id: rule for rule in load_rules()}
HTTPX = """
[tool.ruff.lint]
select = ["E", "F", "I", "B", "PIE"]
ignore = ["B904", "B028"]

[tool.ruff.lint.per-file-ignores]
"__init__.py" = ["F403", "F405"]
"tests/*" = ["ALL"]
"""


def reasons(files: dict[str, str], *matches: tuple[str, str]) -> list[str | None]:
    """Return for each rule and path why a match there is no finding."""
    found: list[tuple[Rule, str]] = [(RULES[rule], path) for rule, path in matches]
    linters, _ = project_linters.read(files, found)
    return [project_linters.reason_for(rule, path, linters) for rule, path in found]


@pytest.mark.parametrize(
    ("files", "rule", "path", "reason"),
    [
        ({"pyproject.toml": HTTPX}, "python/raise-without-from", "httpx/a.py", "ruff ignores the rule"),
        # Not selected is not ignored: what matters is still a finding.
        ({"pyproject.toml": HTTPX}, "python/unsafe-yaml", "httpx/a.py", None),
        ({"pyproject.toml": HTTPX}, "python/mutable-default", "httpx/a.py", None),
        ({"pyproject.toml": HTTPX}, "python/mutable-default", "tests/a.py", "ruff ignores the rule"),
        # Style is on where the repository has adopted it.
        ({"pyproject.toml": HTTPX}, "python/unnecessary-pass", "httpx/a.py", None),
        ({"pyproject.toml": HTTPX}, "python/format-call", "httpx/a.py", STYLE),
        ({}, "python/unnecessary-pass", "a.py", STYLE),
        ({}, "python/raise-without-from", "a.py", None),
        # Other names of a rule, codes of another version, the nearest configuration, one that extends another.
        ({"ruff.toml": 'lint.extend-select = ["G"]\n'}, "python/logging-with-f-string", "a.py", None),
        (
            {"ruff.toml": 'required-version = "==0.0.1"\nlint.ignore = ["B"]\n'},
            "python/mutable-default",
            "a.py",
            "ruff ignores the rule",
        ),
        (
            {"ruff.toml": "", "sub/ruff.toml": 'lint.ignore = ["ALL"]\n'},
            "python/unsafe-yaml",
            "sub/a.py",
            "ruff ignores the rule",
        ),
        (
            {"base.toml": 'lint.ignore = ["S5"]\n', "ruff.toml": 'extend = "base.toml"\n'},
            "python/unsafe-yaml",
            "a.py",
            "ruff ignores the rule",
        ),
        (
            {"ruff.toml": 'lint.select = ["B904"]\nlint.ignore = ["B9"]\n'},
            "python/raise-without-from",
            "a.py",
            None,
        ),
        ({"ruff.toml": 'extend-exclude = ["old"]\n'}, "python/unsafe-yaml", "old/a.py", "ruff excludes the file"),
        # A file for which ruff's own rules are ignored is not left out.
        (
            {"ruff.toml": 'lint.select=["B"]\nlint.per-file-ignores={"a.py" = ["RUF"]}\n'},
            "python/unsafe-yaml",
            "a.py",
            None,
        ),
        # A broken configuration elsewhere does not matter.
        (
            {"ruff.toml": 'lint.ignore = ["S506"]\n', "tests/broken/pyproject.toml": "[[["},
            "python/unsafe-yaml",
            "a.py",
            "ruff ignores the rule",
        ),
        # Flake8.
        ({"setup.cfg": "[flake8]\nextend-ignore = E203, B904\n"}, "python/raise-without-from", "a.py", "flake8 ignores the rule"),
        ({"tox.ini": "[flake8]\nexclude = .git,./docs/\n"}, "python/bare-except", "docs/a.py", "flake8 excludes the file"),
        (
            {".flake8": "[flake8]\nper-file-ignores =\n    # see above\n    a.py, b.py: E1,E722\n    c.py:F401\n"},
            "python/bare-except",
            "b.py",
            "flake8 ignores the rule",
        ),
        ({".flake8": "[flake8]\nper-file-ignores = a.py:E722 b.py:F401\n"}, "python/bare-except", "b.py", None),
        ({".flake8": "[flake8]\nmax-line-length = 100\n"}, "python/not-in", "a.py", None),
        ({".flake8": "[flake8]\nselect = C,E,F,UP032,X9\n"}, "python/format-call", "a.py", None),
        # Pylint.
        ({".pylintrc": "[MESSAGES CONTROL]\ndisable=raise-missing-from,\n  C0114\n"}, "python/raise-without-from", "a.py", "pylint ignores the rule"),
        ({"pyproject.toml": '[tool.pylint."messages control"]\ndisable = ["W0702"]\n'}, "python/bare-except", "a.py", "pylint ignores the rule"),
        ({"setup.cfg": "[pylint.main]\ndisable=all\nenable=bare-except\n"}, "python/bare-except", "a.py", None),
        ({"setup.cfg": "[pylint.main]\ndisable=R\n"}, "python/useless-return", "a.py", "pylint ignores the rule"),
        ({"pylintrc": "[MAIN]\nignore=generated_*\n"}, "python/bare-except", "generated_x/a.py", "pylint excludes the file"),
        ({"pylintrc": "[MAIN]\nload-plugins=x\n"}, "python/useless-return", "a.py", None),
        # Of two linters, the one that has a rule on counts.
        (
            {"ruff.toml": 'lint.select = ["E", "F"]\n', ".pylintrc": "[MAIN]\ndisable=bare-except\n"},
            "python/bare-except",
            "a.py",
            None,
        ),
        # ESLint, as far as it is data.
        ({".eslintrc.json": '{\n// why\n"rules": {"no-eval": ["off"]}}'}, "javascript/no-eval", "a.js", "eslint ignores the rule"),
        ({".eslintrc.yml": "rules:\n  no-var: error\n"}, "javascript/require-const", "src/a.js", None),
        ({"package.json": '{"eslintConfig": {"rules": {"no-eval": 0}}}'}, "javascript/no-eval", "a.js", "eslint ignores the rule"),
        (
            {".eslintrc": "rules: {no-eval: 2}\noverrides: [{files: ['**/*.{spec,test}.js'], rules: {no-eval: 0}}]\n"},
            "javascript/no-eval",
            "a.test.js",
            "eslint ignores the rule",
        ),
        (
            {".eslintrc": "rules: {no-eval: 0}\n", "web/.eslintrc": "root: true\n"},
            "javascript/no-eval",
            "web/a.js",
            None,
        ),
        ({".eslintrc": "root: true\n", ".eslintignore": "# x\nlib/\n!lib/a.js\n"}, "javascript/no-eval", "lib/b.js", "eslint excludes the file"),
        ({".eslintrc": "root: true\n", ".eslintignore": "lib/\n!lib/a.js\n"}, "javascript/no-eval", "lib/a.js", None),
        ({"eslint.config.js": "export default [];\n"}, "javascript/require-const", "a.js", STYLE),
        # Clippy.
        ({"Cargo.toml": '[lints.clippy]\ntodo = "allow"\n'}, "rust/todo-macro", "src/a.rs", "clippy ignores the rule"),
        ({"Cargo.toml": '[lints.clippy]\nall = {level = "warn", priority = -1}\n'}, "rust/len-zero", "src/a.rs", None),
        ({"Cargo.toml": "", "src/lib.rs": "#![allow(clippy::len_zero, dead_code)]\n"}, "rust/len-zero", "src/a.rs", "clippy ignores the rule"),
        (
            {
                "Cargo.toml": '[workspace.lints.clippy]\nlen_zero = "allow"\n',
                "a/Cargo.toml": "[lints]\nworkspace = true\n",
            },
            "rust/len-zero",
            "a/src/a.rs",
            "clippy ignores the rule",
        ),
        ({"Cargo.toml": ""}, "rust/len-zero", "src/a.rs", STYLE),
        # Golangci-lint.
        ({".golangci.yml": "linters: {enable: [revive]}\n"}, "go/bool-comparison", "a.go", None),
        ({".golangci.yml": "linters: {disable: [govet, staticcheck]}\n"}, "go/self-assignment", "a.go", "golangci-lint ignores the rule"),
        (
            {".golangci.yml": "version: '2'\nlinters: {settings: {staticcheck: {checks: [all, -S1012]}}}\n"},
            "go/time-since",
            "a.go",
            "golangci-lint ignores the rule",
        ),
        ({".golangci.toml": "[linters]\ndefault = 'none'\n"}, "go/time-since", "a.go", STYLE),
    ],
)  # fmt: skip
def test_a_linter_decides(files: dict[str, str], rule: str, path: str, reason: str | None) -> None:
    assert reasons(files, (rule, path)) == [reason]


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"ruff.toml": 'extend = "/etc/passwd"\n'}, "not in the repository"),
        ({"ruff.toml": "lint.select = 5\n"}, "does not accept the repository's configuration"),
        ({"ruff.toml": "[[[\n"}, "not valid TOML"),
        ({"pyproject.toml": "x = " + "[" * 5_000 + "#ruff"}, "not valid TOML"),
        ({"ruff.toml": "#" * 300_000}, "more than 200,000 characters"),
        ({".flake8": "[flake8\nx\n[flake8]"}, "not a valid INI file"),
        ({".eslintrc.yml": "a: &a [*a, *a]\n"}, "cannot be read"),
        ({".eslintrc.json": "{{{"}, "cannot be read"),
        ({"eslint.config.mjs": ""}, "eslint.config.mjs is code, which is not run"),
        ({".pylintrc": "[MAIN]\nignore-paths=(a+)+b\n"}, "ignore-paths of pylint is a regular expression"),
        ({".eslintrc.yml": "extends: [airbnb]\n"}, "eslint extends airbnb, which is not read"),
        (
            {".golangci.yml": "issues: {exclude-rules: []}\n"},
            "exclude-rules of golangci-lint are regular expressions",
        ),
        ({".golangci.yml": "!!python/object:os.system {}"}, "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_nothing_and_is_named(files: dict[str, str], note: str) -> None:
    found = [(RULES["python/unsafe-yaml"], "a.py")]
    linters, notes = project_linters.read(files, found)
    assert any(note in said for said in notes)
    assert not any("root:" in said for said in notes)
    assert project_linters.reason_for(*found[0], linters) is None


def test_a_person_turns_a_rule_on_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().rules, "enabled", ["python/format-call"])
    assert reasons({}, ("python/format-call", "a.py"), ("python/not-in", "a.py")) == [None, STYLE]


def test_hostile_patterns_take_no_time() -> None:
    pattern = "{" + "{a,b}" * 40 + "*a" * 60 + "b"
    files = {".eslintrc.yml": f"ignorePatterns: ['{pattern}', '{'**/' * 200}x']\n"}
    assert reasons(files, ("javascript/no-eval", "a" * 200 + ".js")) == [None]


def test_nothing_of_it_becomes_a_finding(loop: Loop) -> None:
    chained = "try:\n    print()\nexcept KeyError:\n    raise ValueError('no')\n"
    style = "x = 'a{}'.format(1)\n"
    loop.repository.commit({"a.py": chained, "b.py": style})
    loop.find()
    assert loop.open() == [("python/raise-without-from", "a.py", 4)]
    with loop.engine.connect() as connection:
        off = findings.off_rules(connection, loop.snapshot().repository_id)
    assert off == [{"rule": "python/format-call", "reason": STYLE, "matches": 1, "files": 1}]

    # What was a finding is suppressed, not fixed; it comes back when the configuration lets it.
    loop.repository.commit({"pyproject.toml": HTTPX + "\n[tool.ruff.lint.flake8-bugbear]\n"})
    assert loop.find() == {"new": 0, "fixed": 0, "reopened": 0, "suppressed": 1}
    assert loop.open() == []
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT suppressed_by FROM findings")) == "configuration"
        assert (
            connection.scalar(
                text("SELECT count(*) FROM rule_outcomes WHERE kind IN ('fixed', 'suppressed')")
            )
            == 0
        )
    loop.repository.commit({"pyproject.toml": HTTPX.replace('"B904", ', "").replace('"PIE"', '"PIE", "UP"')})
    loop.find()
    assert loop.open() == [("python/format-call", "b.py", 1), ("python/raise-without-from", "a.py", 4)]
