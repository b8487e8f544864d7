"""What a file exports is told apart from what it declares, and followed to where it is declared."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.exports import Export, read
from tests.ingestion.conftest import GitRepository, Ingested

# Statements, and what they export: name, what it is in the file, and the module it is of.
STATEMENTS = {
    "export { a, type b as c }": [("a", "a"), ("c", "b")],
    "export { a as default } from './x'": [("default", "a", "./x")],
    "export * from './x'": [("*", "*", "./x")],
    "export * as ns from './x'": [("ns", "*", "./x")],
    "export const a = 1, { b, c: d, e = 2, ...f } = g": [("a",), ("b",), ("d",), ("e",), ("f",)],
    "export let [a, b] = c": [("a",), ("b",)],
    "export async function* a() {}": [("a",)],
    "export abstract class A {}\nexport enum B {}\nexport type C = A\nexport interface D {}": [
        ("A",),
        ("B",),
        ("C",),
        ("D",),
    ],
    "export namespace N { export const no = 1 }\nexport declare function f(): void": [("N",), ("f",)],
    "export default class A {}": [("default", "A")],
    "export default a": [("default", "a")],
    "export default () => 1": [("default", "")],
    "export = A": [("module.exports", "A")],
    "exports = module.exports = create": [("module.exports", "create")],
    "const proto = module.exports = { a, b: c, d() {}, get e() {}, 'f-g': 1 }": [
        ("a",),
        ("b", "c"),
        ("d",),
        ("e",),
        ("f-g",),
    ],
    "module.exports = { ...require('./x'), ...rest }": [("*", "*", "./x"), ("*", "rest")],
    "module.exports = require('./x')": [("*", "*", "./x")],
    "module.exports = class A {}\nmodule.exports.B = B\nmodule.exports['c'] = require('./x').d": [
        ("module.exports", "A"),
        ("B",),
        ("c", "d", "./x"),
    ],
    "exports.a = void 0\nexports.a = a\nObject.defineProperty(exports, 'b', { get })": [("a",), ("b", "")],
    "Object.defineProperty(exports, '__esModule', { value: true })\nother.exports.a = 1\nf(module.exports)": [],
}


@pytest.mark.parametrize("source", STATEMENTS)
def test_exports_are_read_as_they_are_written(source: str) -> None:
    found = [export._replace(line=0) for export in read("a.ts", source)]
    expected = []
    for name, *rest in STATEMENTS[source]:
        local = rest[0] if rest else name
        expected.append(Export(name, local, 0, rest[1] if len(rest) > 1 else ""))
    assert found == expected


FILES = {
    "src/index.ts": "import Local, { helper as own } from './util'\nimport { outer } from 'lodash'\n\n"
    "export { one, two as zwei } from './one'\nexport * from './types'\nexport * from 'react'\nexport * as ns from './one'\n"
    "export { Local, own, outer }\nexport const VERSION = '1'\nfunction hidden() {}\nexport default class Main { run() {} }\n",
    "src/one.ts": "export const one = 1\nexport function two() {}\n",
    "src/types.ts": "export type A = string\nexport interface B {}\nexport default 1\nexport * from './deep'\n",
    "src/deep.ts": "export enum Deep { X }\nexport * from './types'\n",
    "src/util.ts": "export default function Local() {}\nexport function helper() {}\nfunction no() {}\n",
    "src/none.ts": "function f() {}\n",
    "lib/a.js": "const only = require('./only')\nconst { b } = require('./b')\n\nmodule.exports = {\n  inspect () {},\n"
    "  only,\n  b\n}\nfunction no() {}\n",
    "lib/only.js": "\nmodule.exports = (a) => a\n",
    "lib/b.js": "exports.b = function () {}\n",
    "lib/one.js": "exports.no = 1\n",
    "a.py": "def f(): ...\n",
}
SAID = {
    "what is exported from src/index.ts?": [
        "src/index.ts exports 11 names: one (line 4, from src/one.ts:1), zwei (line 4, two, from src/one.ts:2), ",
        "all of ./types (line 5: A from src/types.ts:1, B from src/types.ts:2, Deep from src/deep.ts:1), ",
        "all of react (line 6), ns (line 7, from src/one.ts:1), Local (line 8, from src/util.ts:1), ",
        "own (line 8, from src/util.ts:2), outer (line 8, from 'lodash'), VERSION (line 9), default (line 11, Main). ",
        "src/index.ts has 3 members: hidden (line 10), Main (line 11), Main.run (line 11)",
        "Not certain: what react has is not known (src/index.ts:6)",
    ],
    "what does src/types.ts export?": [
        "exports 4 names: A (line 1), B (line 2), default (line 3), all of ./deep (line 4: Deep from src/deep.ts:1). "
    ],
    "exports of lib/a.js": [
        "lib/a.js exports 3 names: inspect (line 5), only (line 6, from lib/only.js:2), b (line 7, from lib/b.js:1). ",
        "lib/a.js has 2 members: inspect (line 5), no (line 9)",
    ],
    "which names are exported by src/none.ts": ["src/none.ts has 1 member: f (line 1); it exports nothing"],
    "what does one.ts export?": ["src/one.ts exports 2 names: one (line 1), two (line 2). "],
    "what is defined in a.py?": ["a.py has 1 member: f (line 1)"],
}


def test_exports_are_followed_to_where_they_are_declared(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        found = {question: answers.answer(connection, snapshot, question) for question in SAID}
    for question, parts in SAID.items():
        for part in parts:
            assert part in found[question].words
    first = found["what is exported from src/index.ts?"]
    lines = {(evidence.path, evidence.line) for evidence in first.evidence}
    assert {("src/index.ts", 4), ("src/one.ts", 1), ("src/deep.ts", 1)} <= lines


def test_other_files_with_the_name_are_named(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a/index.js": "exports.x = 1\n", "b/index.js": "exports.y = 1\n"})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(connection, current_snapshot(connection, "project"), "exports of index.js")
    assert "a/index.js exports 1 name: x" in answer.words
    assert answer.limits == ("this is of a/index.js; other files have that name, too: b/index.js",)
