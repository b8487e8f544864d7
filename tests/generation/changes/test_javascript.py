"""Scripts that print the same before and after their fixes, and which of them are changed."""

import shutil
from pathlib import Path

import pytest

from tests.generation.changes.files import fixed, run_javascript

# (script, whether a fix is offered for it)
SCRIPTS = {
    "last of a literal": ("const xs = [1, 2];\nconsole.log(xs[xs.length - 1]);\n", True),
    "last of a text": ("const s = 'abc'.trim();\nconsole.log(s[s.length - 1]);\n", True),
    "last of a parameter": ("function f(a) { return a[a.length - 1]; }\nconsole.log(f({ length: 1, 0: 'x' }));\n", False),
    "last of a private field": (
        "class A { #xs = [1]; last() { return this.#xs[this.#xs.length - 1]; } }\nconsole.log(new A().last());\n",
        True,
    ),
    "last of what is assigned an object": (
        "let xs = [1];\nxs = { length: 1, 0: 2 };\nconsole.log(xs[xs.length - 1]);\n",
        False,
    ),
    "last, shadowed": (
        "const xs = [1];\nfunction f(xs) { return xs[xs.length - 1]; }\nconsole.log(f({ length: 1, 0: 2 }), xs);\n",
        False,
    ),
    "text in a text": ("const s = String(12);\nconsole.log(s.indexOf('2') !== -1);\n", True),
    "NaN in an array": ("const xs = [NaN];\nconst n = Number('x');\nconsole.log(xs.indexOf(n) !== -1);\n", False),
    "unknown in plain array": (
        "const xs = ['a', 'b'];\nconst f = (x) => xs.indexOf(x) >= 0;\nconsole.log(f(NaN), f('a'));\n",
        True,
    ),
    "hole": ("const xs = [1, , 2];\nlet u;\nconsole.log(xs.indexOf(u) > -1);\n", False),
    "own indexOf": ("const o = { indexOf: () => 0 };\nconsole.log(o.indexOf('a') !== -1);\n", False),
    "own trim": ("const o = { trim: () => ({ indexOf: () => 1 }) };\nconsole.log(o.trim().indexOf('a') > -1);\n", False),
    "power in a negation": ("const a = 2;\nconsole.log(-Math.pow(a, 2));\n", True),
    "power of a power": ("const a = 2;\nconsole.log(Math.pow(a, 3) ** 2, 2 ** Math.pow(a, 3));\n", True),
    "power of a member": ("const a = 2;\nconsole.log(Math.pow(a, 3).toFixed(1));\n", True),
    "power after a line": ("const a = 2\nlet b = a\nMath.pow(a, 3).toFixed(1)\nconsole.log(b)\n", True),
    "power at the start of a statement": (
        "const s = []; const n = { valueOf() { s.push(1); return 2; } };\nMath.pow({ a: n }.a, 2);\n"
        "Math.pow(async function (a, b) { }.length, 2);\nMath.pow(class { static a = n }.a, 2)\nconsole.log(s);\n",
        True,
    ),
    "power of what may be a BigInt": (
        "const f = (a) => Math.pow(a, a);\ntry { f(2n); } catch (e) { console.log(e.name); }\n",
        False,
    ),
    "own Math": ("const Math = { pow: () => 'own' };\nconsole.log(Math.pow(2, 3));\n", False),
    "empty object in an arrow": ("const f = () => new Object();\nconsole.log(typeof f());\n", True),
    "member of an empty object": ("const f = () => new Object().x;\nconsole.log(f());\n", True),
    "empty array after a line": ("const a = [0]\nnew Array().concat(a)\nconsole.log(a)\n", True),
    "spread": ("const a = { x: 1 };\nconsole.log(JSON.stringify(Object.assign({}, a, { y: 2 })));\n", True),
    "spread of null": ("console.log(JSON.stringify(Object.assign({}, null, { y: 2 })));\n", True),
    "require": ("var path = require('path');\nconsole.log(path.sep);\n", True),
    "require, assigned in a function": (
        "var path = require('path');\nfunction f() { path = 1; }\nf();\nconsole.log(path);\n",
        False,
    ),
    "require, after a call": ("f();\nvar path = require('path');\nfunction f() { console.log(typeof path); }\n", False),
    "require, destructured and assigned": (
        "var { sep } = require('path');\n({ sep } = { sep: 1 });\nconsole.log(sep);\n",
        False,
    ),
    "debugger as a body": ("if (0) debugger;\nelse console.log('a');\n", False),
    "debugger in a switch": ("switch (1) { case 1: debugger; console.log('a'); }\n", True),
    # The semicolon of the next line belongs to the statement.
    "debugger between lines": ("let a = 1\ndebugger\n;[a].forEach((x) => console.log(x))\n", False),
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_the_same_after_its_fixes(name: str, tmp_path: Path) -> None:
    code, changed = SCRIPTS[name]
    script = tmp_path / "before.js"
    script.write_text(code)
    after = fixed(script)
    assert (after != code) == changed, after
    assert run_javascript(after, tmp_path) == run_javascript(code, tmp_path)
