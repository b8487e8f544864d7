"""The gate `types` on TypeScript: its compiler reports nothing new in the whole project."""

import pytest

from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates import type_errors
from qflow_dagster.generation.repository_gates.protocol import Result
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

LIBRARY = "export function size(items: number[]): number {\n  return items.length;\n}\nexport const old: number = 'wrong';\n"
USER = "import { size } from './library';\nexport const total: number = size([1]);\n"
FILES = {"tsconfig.json": '{"include": ["src"]}', "src/library.ts": LIBRARY, "src/user.ts": USER}


def checked(project: Project, *candidates: Candidate) -> list[Result]:
    with project.batch() as batch:
        results = type_errors.check(batch, candidates)
    return [results[candidate.id] for candidate in candidates]


@pytest.mark.usefixtures("node_tools")
class TestWithCompiler:
    def test_candidates_are_judged_by_themselves_in_one_run(self, loop: Loop) -> None:
        project = Project(loop, FILES)
        good, bad, breaking, beside = (
            project.candidate(path, change, language="typescript")
            for path, change in (
                ("src/library.ts", ("items.length", "(items.length)")),
                ("src/library.ts", ("return items.length", "return String(items)")),
                ("src/library.ts", ("(items: number[])", "(items: string[])")),
                ("src/user.ts", ("[1]", "[2]")),
            )
        )
        results = checked(project, good, bad, breaking, beside)
        assert [result.gate.verdict for result in results] == ["passed", "failed", "failed", "passed"]
        assert results[0].gate.evidence == "tsc has nothing new to say of tsconfig.json"
        assert results[1].gate.evidence == (
            "new: src/library.ts:2: TS2322: Type 'string' is not assignable to type 'number'."
        )
        assert list(results[1].blamed) == [("src/library.ts", 2)]
        assert "src/user.ts:2: TS2322: Type 'number' is not assignable" in results[2].gate.evidence

    def test_javascript_is_checked_where_the_repository_has_it_checked(self, loop: Loop) -> None:
        script = "/** @type {number} */\nconst a = 1;\n"
        files = {
            "jsconfig.json": '{"compilerOptions": {"checkJs": true}}',
            "a.js": script,
            "other/jsconfig.json": "{}",
            "other/a.js": script,
            "other/b.js": f"// @ts-check\n{script}",
        }
        project = Project(loop, files)
        paths = ("a.js", "other/a.js", "other/b.js")
        candidates = [project.candidate(path, ("1", "'x'"), language="javascript") for path in paths]
        verdicts = [result.gate.verdict for result in checked(project, *candidates)]
        assert verdicts == ["failed", "not applicable", "failed"]

    @pytest.mark.parametrize(
        ("path", "script"),
        [("src/a.vue", '<script setup lang="ts">'), ("src/a.svelte", '<script lang="ts">')],
    )
    def test_scripts_of_vue_and_svelte_are_checked_with_what_they_import(
        self, loop: Loop, path: str, script: str
    ) -> None:
        markup = "<p>{{ total }}</p>\n" if path.endswith("svelte") else "<template><p /></template>\n"
        code = f"{markup}{script}\n{USER}</script>\n"
        project = Project(loop, {**FILES, path: code})
        good = project.candidate(path, ("[1]", "[2]"), language="typescript")
        bad = project.candidate(path, ("[1]", "['a']"), language="typescript")
        results = checked(project, good, bad)
        assert [result.gate.verdict for result in results] == ["passed", "failed"]
        assert list(results[1].blamed) == [(path, 4)]

    def test_the_nearest_project_that_includes_a_file_decides(self, loop: Loop) -> None:
        wrong = {"a.ts": "export const a: number = 1;\n"}
        folders = {
            # The layout of many front ends: the configuration refers to others.
            "app": {
                "tsconfig.json": '{"files": [], // solution\n "references": [{"path": "./tsconfig.app.json"}]}',
                "tsconfig.app.json": '{"include": ["*.ts"], "compilerOptions": {"composite": true}}',
                **wrong,
            },
            "outside": {"tsconfig.json": '{"include": ["lib"]}', "lib/b.ts": "", **wrong},
            "packages": {"tsconfig.json": '{"compilerOptions": {"types": ["node"]}}', **wrong},
            "syntax": {"tsconfig.json": "{}", "b.ts": "const = 1;\n", **wrong},
            "excepted": {"tsconfig.json": "{}", "a.ts": f"// @ts-nocheck\n{wrong['a.ts']}"},
        }
        project = Project(
            loop,
            {f"{folder}/{name}": code for folder, files in folders.items() for name, code in files.items()},
        )
        candidates = [
            project.candidate(f"{folder}/a.ts", ("1", "'x'"), language="typescript") for folder in folders
        ]
        results = [result.gate for result in checked(project, *candidates)]
        off = "(QFLOW_GENERATION_FETCH_PACKAGES is off)"
        assert [(gate.verdict, gate.evidence) for gate in results] == [
            ("failed", "new: app/a.ts:1: TS2322: Type 'string' is not assignable to type 'number'."),
            ("skipped", "no tsconfig.json includes outside/a.ts"),
            (
                "skipped",
                "tsc checks nothing of packages/tsconfig.json: "
                f"error TS2688: Cannot find type definition file for 'node'. {off}",
            ),
            (
                "skipped",
                "tsc checks nothing of syntax/tsconfig.json: "
                f"syntax/b.ts(1,7): error TS1134: Variable declaration expected. {off}",
            ),
            ("skipped", "tsc does not check excepted/a.ts: it is excepted"),
        ]


def test_without_a_compiler_the_gate_is_skipped(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    project = Project(loop, FILES)
    changed = project.candidate("src/library.ts", ("items.length", "items"), language="typescript")
    [result] = checked(project, changed)
    assert (result.gate.verdict, result.gate.evidence) == (
        "skipped",
        "needs typescript (QFLOW_GENERATION_FETCH_PACKAGES is off)",
    )
