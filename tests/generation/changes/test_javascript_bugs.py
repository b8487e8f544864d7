"""Scripts with a bug that a rule finds, run before and after its fix; and scripts that only look like that.

All scripts run in one process of node, each in a context of its own.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.generation.fixed_text import fix_text

RULES = {
    rule.id.removeprefix("javascript/"): rule
    for rule in load_rules()
    if rule.id.startswith("javascript/") and rule.fix is not None and rule.safety != "judgement"
}
# rule: (script, what it logs now, what it logs after the fix)
BUGS = {
    "lost-escape": (
        "const n = 1;\nconst texts = [new RegExp('a\\.b'), new RegExp(`^\\d${n}$`), new RegExp('[0-9\\.]')];\n"
        "console.log(texts[0].test('a-b'), texts[1].test('21'), texts[2].test('-'));",
        ["true false false"],
        ["false true false"],
    ),
    "callback-called-twice": (
        "function load(e, callback) { if (e) {\n callback(e); }\ncallback(null, 'data'); }\n"
        "function read(err, cb) { if (err) cb(err);\nreturn cb(null); }\n"
        "const show = (...all) => console.log(...all); load('x', show); load(null, show); read('y', show);",
        ["x", "null data", "null data", "y", "null"],
        ["x", "null data", "y"],
    ),
    "index-as-condition": (
        "const icon = (system) => system.indexOf('Ubuntu') ? 'ubuntu' : 'linux';\n"
        "function parts(from) { if (from && from.indexOf(',')) { return from.split(','); } return [from]; }\n"
        "console.log(icon('Ubuntu'), icon('Debian'), parts('a').length, parts(',a').length);",
        ["linux ubuntu 1 1"],
        ["ubuntu linux 1 2"],
    ),
    "answered-twice": (
        "const res = { status() { return this; }, json(body) { console.log(body); } };\n"
        "async function show(req, res) { if (!req.user) {\n res.status(404).json('none'); }\nres.json('end'); }\nshow({}, res);",
        ["none", "end"],
        ["none"],
    ),
    "negated-operand": (
        "const o = { a: 1 }; console.log(!'b' in o, ! [] instanceof Array, !'a' in o);",
        ["false false false"],
        ["true false false"],
    ),
    "promise-as-condition": (
        "async function ok() { return false; }\nasync function main() { console.log(ok() ? 1 : 0); if (!ok()) { console.log(2); } }\nmain();",
        ["1"],
        ["0", "2"],
    ),
    "return-without-await": (
        "async function fail() { throw new Error('x'); }\nasync function main() { try { return fail(); } catch (e) { return 'caught'; } }\n"
        "main().then(console.log, () => console.log('failed'));",
        ["failed"],
        ["caught"],
    ),
    "case-with-or": (
        "for (const x of [1, 2, 3]) { switch (x) { case 1 || 2: console.log(x); break; } }",
        ["1"],
        ["1", "2"],
    ),
    "new-buffer": (
        "console.log(new Buffer('YQ==', 'base64').toString(), new Buffer([98]).toString(), new Buffer(2).length);",
        ["a b 2"],
        ["a b 2"],
    ),
    "new-promise-static": ("new Promise.resolve(1).then(console.log);", ["TypeError"], ["1"]),
    "error-not-thrown": (
        "function root(x) { if (x < 0) { new RangeError('x'); } return Math.sqrt(x); }\nconsole.log(root(4)); console.log(root(-1));",
        ["2", "NaN"],
        ["2", "RangeError"],
    ),
    "map-parse-int": ("console.log('1,2,3'.split(',').map(parseInt));", ["1,NaN,NaN"], ["1,2,3"]),
    "numbers-sorted-as-text": ("console.log('10,9,1'.split(',').map(Number).sort());", ["1,10,9"], ["1,9,10"]),
    "stateful-test": (
        "const W = /a/g; const has = (x) => W.test(x); console.log(has('a'), has('a'));",
        ["true false"],
        ["true true"],
    ),
    "use-is-nan": ("const n = NaN; console.log(n === NaN, 1 == NaN);", ["false false"], ["true false"]),
    "use-is-nan-negated": ("const n = NaN; console.log(n !== NaN, 1 != NaN);", ["true true"], ["false true"]),
    "valid-typeof": (
        "console.log(typeof '' === 'strnig', typeof 1 == 'Number', typeof u === undefined);",
        ["false false false"],
        ["true true true"],
    ),
}
NEAR = {
    "in, negated as meant": "const o = { true: 1 }; console.log(!(1 in o), (!1) in o, !!1 in o, !1 in { false: 1 });",
    "own hasInstance": "class A { static [Symbol.hasInstance](x) { return x === false; } } console.log((!1) instanceof A);",
    "promise kept": "async function f() { return 1; } async function main() { const p = f(); if (p) { console.log(await p); } } main();",
    "promise or": "async function f() { return 1; } async function main(c) { console.log(await (c || f())); } main(0);",
    "shadowed function": "async function f() { return 1; } function g(f) { if (f()) { console.log('g'); } } g(() => true);",
    "assigned function": "async function f() { return 1; } f = () => 0; async function m() { console.log(f() ? 1 : 0); } m();",
    "not async": "function f() { return 1; } async function m() { if (f()) { console.log(1); } } m();",
    "two declarations": "async function f() { return 1; } { var g = 1; function f() { return 0; } } async function m() { console.log(f() ? g : 0); } m();",
    "no async function around": "async function f() { return 1; } const m = () => { if (f()) { console.log(1); } }; m();",
    "default value": "async function f() { return 1; } async function m(a = f() ? 1 : 2) { console.log(a); } m();",
    "returned in catch": "async function f() { return 1; } async function m() { try { throw 1; } catch (e) { return f(); } } m().then(console.log);",
    "returned by a callback": "async function f() { return 1; } async function m() { try { return [1].map(() => { return f(); }).length; } catch (e) { return 0; } } m().then(console.log);",
    "generator": "async function f() { return 1; } function* m() { try { return f(); } catch (e) { return 0; } } console.log(typeof m().next().value.then);",
    "switch of conditions": "const a = 0; switch (true) { case a === 1 || a === 0: console.log(1); break; }",
    "case of its own": "switch (2) { case 1 || 2: console.log(1); break; case 2: console.log(2); break; }",
    "case of a name": "const n = ''; switch ('x') { case n || 'x': console.log(1); break; }",
    "own Buffer": "class Ring { constructor(n) { this.n = n; } } { const Buffer = Ring; console.log(new Buffer(3).n); }",
    "Buffer of a variable": "const n = 3; const f = (x) => new Buffer(x); console.log(f(n).length, f('ab').length);",
    "Buffer of a length": "const s = 'abc'; console.log(new Buffer(s.length).length);",
    "own Promise": "function P() {} P.resolve = function () { this.x = 1; }; { const Promise = P; console.log(new Promise.resolve(1).x); }",
    "error with an effect": "class LogError { constructor(x) { console.log(x); } } function f(x) { if (x) { new LogError(x); } return 1; } f(2);",
    "error in try": "function f(x) { try { if (x) { new Error('x'); } return 1; } catch (e) { return 2; } } console.log(f(1));",
    "error, then more": "function f(x) { if (x) { new Error('x'); x = 0; } return x; } console.log(f(1));",
    "own map": "const m = { map: (f) => f('11', 2) }; console.log(m.map(parseInt));",
    "own parseInt": "{ const parseInt = (x, i) => x + i; console.log(['a', 'b'].map(parseInt)); }",
    "own sort": "const l = { map: () => ({ sort: (f) => typeof f }) }; console.log(l.map(Number).sort());",
    "texts sorted": "console.log(['b', 'a'].map(String).sort());",
    "test in a loop": "const W = /a/g; let n = 0; while (W.test('aaa')) { n += 1; } console.log(n);",
    "test and lastIndex": "const W = /a/g; W.test('aab'); console.log(W.lastIndex);",
    "test in the head of a loop": "const W = /a/g; function has(x) { return W.test(x); } let n = 0; while (has('aaa')) { n += 1; } console.log(n);",
    "test twice": "const W = /a/g; const two = (x) => W.test(x) && W.test(x); console.log(two('a'), two('aa'));",
    "test of an alias": "const W = /a/g; const V = W; W.test('a'); console.log(V.lastIndex);",
    "own NaN": "{ const NaN = 1; console.log(1 === NaN); }",
    "own undefined": "function f(undefined) { return typeof 1 === undefined; } console.log(f('number'));",
    "types alike": "console.log(typeof [] === 'array', typeof null === 'null', typeof 1 === 'int');",
}


def _fixed(code: str, rules: list[str]) -> str:
    for rule in rules:
        code = fix_text(RULES[rule], code, "script.js", "javascript")
    return code


def _logged(scripts: list[str]) -> list[list[str]]:
    runner = Path(__file__).with_name("bugs.js")
    command = ["node", "--no-deprecation", str(runner)]
    done = subprocess.run(
        command, input=json.dumps(scripts), capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_a_fix_changes_the_bug_and_nothing_else() -> None:
    before = [code for code, _, _ in BUGS.values()]
    after = [_fixed(code, [rule]) for rule, (code, _, _) in BUGS.items()]
    logged = _logged([*before, *after])
    now, fixed = logged[: len(before)], logged[len(before) :]
    assert dict(zip(BUGS, now, strict=True)) == {rule: bug[1] for rule, bug in BUGS.items()}
    assert dict(zip(BUGS, fixed, strict=True)) == {rule: bug[2] for rule, bug in BUGS.items()}


@pytest.mark.parametrize("name", NEAR)
def test_code_that_only_looks_like_a_bug_stays(name: str) -> None:
    assert _fixed(NEAR[name], list(BUGS)) == NEAR[name]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_code_that_only_looks_like_a_bug_runs() -> None:
    failed = {name for name, lines in zip(NEAR, _logged(list(NEAR.values())), strict=True) if lines == []}
    assert failed == set()


@pytest.mark.parametrize(("declared", "changed"), [("", True), (": void", False), (": string | undefined", False)])
def test_a_callback_is_not_returned_where_the_type_of_the_function_is_declared(declared: str, changed: bool) -> None:
    code = f"function f(err: Error | null, cb: Callback){declared} {{ if (err) {{ cb(err); }} cb(null); }}\n"
    after = fix_text(RULES["callback-called-twice"], code, "a.ts", "typescript")
    assert (after != code) is changed
