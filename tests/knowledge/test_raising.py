"""Errors are raised by statements, by calls and macros that fail with them, and by functions that make them."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import Answer
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

# A file, and the lines on which it raises Cold; on others it is caught, matched, compared, or given to another call.
RAISED = {
    "a.py": (
        "class Cold(Exception): pass\n\ndef f(x):\n    raise Cold\n\ndef g(x):\n    try:\n        raise (\n            Cold(x)\n"
        "        )\n    except Cold:\n        raise Other(isinstance(x, Cold))\n",
        [4, 9],
    ),
    "a.js": (
        "class Cold extends Error {}\nfunction f() {\n  return Promise.reject(new Cold())\n}\nfunction g() {\n"
        "  throw Object.assign(new Cold(), { a: 1 })\n}\nexpect(f).toThrow(Cold)\n",
        [3, 6],
    ),
    "A.java": (
        "class A {\n  void f() throws Cold {\n    throw new Cold(1);\n  }\n  void g() {\n    x.orElseThrow(() -> new Other());\n"
        "    try { f(); } catch (Cold e) { throw new Other(Cold.NAME); }\n    assertThrows(Cold.class, null);\n  }\n}\n",
        [3],
    ),
    "a.kt": (
        "class Cold : Exception()\n\nfun f(x: Int?) {\n  val y = x ?: throw Cold()\n  if (x is Cold) { g() }\n}\n",
        [4],
    ),
    "a.cs": (
        "class Cold : Exception {}\nclass A {\n  int f(int? x) {\n    try { g(); } catch (Cold e) { }\n"
        "    return x ?? throw new Cold();\n  }\n}\n",
        [5],
    ),
    "a.rb": (
        "class Cold < StandardError; end\n\ndef f(x)\n  raise Cold, 'x' if x\n  fail Cold.new('x')\nrescue Cold\n"
        "  raise Other if x.is_a?(Cold)\nend\n",
        [4, 5],
    ),
    "a.php": (
        "<?php\nclass Cold extends \\Exception {}\nfunction f() {\n  try { g(); } catch (Cold $e) {}\n  throw Cold::of(1);\n}\n",
        [5],
    ),
    "a.swift": (
        "struct Cold: Error {}\nfunc f() throws {\n  throw Cold()\n}\nfunc g() -> Result<Int, Cold> {\n"
        "  return .failure(Cold())\n}\n",
        [3, 6],
    ),
    "a.cpp": (
        "struct Cold {};\nvoid f() {\n  throw Cold();\n}\nvoid g() {\n  try { f(); } catch (const Cold& e) { throw; }\n"
        "  LIB_THROW_IF(true, Cold());\n}\n",
        [3, 7],
    ),
    "a.rs": (
        "pub enum Error {\n    Cold,\n}\n\nfn f(x: Option<u8>) -> Result<u8, Error> {\n    ensure!(true, Error::Cold);\n"
        "    let y = x.ok_or_else(|| Error::Cold)?;\n    match g() {\n        Err(Error::Cold) => {}\n        _ => {}\n    }\n"
        "    if e == Error::Cold {\n        bail!(Error::Cold);\n    }\n    Err(\n        Error::Cold,\n    )\n}\n",
        [6, 7, 13, 16],
    ),
    "a.go": (
        'package a\n\nvar Cold = errors.New("cold")\n\nfunc f() (int, error) {\n\tif errors.Is(g(), Cold) {\n'
        '\t\treturn 0, fmt.Errorf("f: %w", Cold)\n\t}\n\treturn 1, Cold\n}\n\nfunc is(err error) bool {\n'
        "\treturn err == Cold || errors.Is(err, Cold)\n}\n",
        [7, 9],
    ),
}


def ask(engine: Engine, repository: GitRepository, ingested: Ingested, path: str, content: str) -> Answer:
    repository.commit({path: content})
    ingested(repository)
    with engine.connect() as connection:
        return answers.answer(connection, current_snapshot(connection, "project"), "where is Cold raised?")


@pytest.mark.parametrize("path", RAISED)
def test_errors_are_raised_where_the_tree_says_so(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, lines = RAISED[path]
    answer = ask(engine, repository, ingested, path, content)
    said = answer.words.partition("Not certain")[0]
    assert [n for n in range(30) if f"({path}:{n})" in said] == lines, answer.words


# A file in which a function or macro makes Cold, and how it is said that another raises what that returns.
MADE = {
    "a.py": (
        "class Cold(Exception): pass\n\ndef too_cold():\n    return Cold()\n\ndef f():\n    raise too_cold()\n",
        "function too_cold (a.py:4) makes Cold, and is raised in f (a.py:7)",
    ),
    "a.ts": (
        "class Cold extends Error {}\nfunction tooCold() {\n  return new Cold()\n}\nfunction f() {\n  throw tooCold()\n}\n",
        "function tooCold (a.ts:3) makes Cold, and is raised in f (a.ts:6)",
    ),
    "a.go": (
        "package a\n\ntype Cold struct{}\n\nfunc newColdError() error {\n\treturn &Cold{}\n}\n\nfunc f() error {\n"
        "\treturn newColdError()\n}\n",
        "function newColdError (a.go:6) makes Cold, and is raised in f (a.go:10)",
    ),
    "a.rs": (
        "enum Error {\n    Cold,\n}\n\nfn too_cold() -> Error {\n    Error::Cold\n}\n\nfn f() -> Result<u8, Error> {\n"
        "    Err(too_cold())\n}\n",
        "function too_cold (a.rs:6) makes Cold, and is raised in f (a.rs:10)",
    ),
    "a.cpp": (
        "struct Cold {};\n#define TOO_COLD(x) throw Cold()\n\nvoid f() {\n  TOO_COLD(1);\n}\n",
        "macro TOO_COLD (a.cpp:2) makes Cold, and is used in f (a.cpp:5)",
    ),
}


@pytest.mark.parametrize("path", MADE)
def test_what_makes_an_error_for_others_to_raise_is_followed(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, said = MADE[path]
    assert said in (words := ask(engine, repository, ingested, path, content).words), words


def test_a_function_of_rust_does_not_raise_what_it_matches(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content = (
        "fn f() -> Result<u8, Error> {\n    match g() {\n        Err(e) => log(e),\n        Ok(x) => h(x),\n    }\n"
        "    k().map_err(|e| Error::Cold(e))?;\n    Err(Error::Cold)\n}\n"
    )
    repository.commit({"a.rs": content})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "which errors does f raise?"
        )
    assert {evidence.line for evidence in answer.evidence} == {6, 7}


# Functions of Go that assign an error, and whether that is returned; `None`: it is not known.
ASSIGNED = {
    "func f() (err error) {\n\terr = Cold\n\treturn\n}": True,
    "func f() (n int, err error) {\n\tn, err = 0, Cold\n\treturn\n}": True,
    "func f() error {\n\terr := Cold\n\tif x {\n\t\treturn err\n\t}\n\treturn nil\n}": True,
    'func f() error {\n\terr := fmt.Errorf("f: %w", Cold)\n\tlog(err)\n\treturn err\n}': True,
    "func f() error {\n\terr := Cold\n\terr = wrap(err)\n\treturn errors.Join(err, other)\n}": True,
    "func f() error {\n\terr := &ParseError{Err: Cold}\n\tpanic(err)\n}": True,
    "func f() (int, error) {\n\tvar err error = Cold\n\treturn 1, err\n}": True,
    "func f() (err error) {\n\tswitch {\n\tcase x:\n\t\terr = Cold\n\tdefault:\n\t}\n\treturn err\n}": True,
    "func f() (err error) {\n\tdefer func() {\n\t\terr = Cold\n\t}()\n\treturn nil\n}": True,
    "func f() error {\n\terr := Cold\n\tlog(err)\n\treturn nil\n}": None,
    "func f() error {\n\terr := Cold\n\terr = g()\n\treturn err\n}": None,
    "func f() (err error) {\n\terr = Cold\n\treturn nil\n}": None,
    "func f() bool {\n\terr := Cold\n\treturn errors.Is(g(), err)\n}": None,
    "func f() {\n\ts.err = Cold\n}": None,
    "func f() error {\n\terr := g(Cold)\n\treturn err\n}": False,
    "func f() error {\n\tx := errors.Is(g(), Cold)\n\treturn x\n}": False,
    "func f() error {\n\tif err == Cold {\n\t\treturn nil\n\t}\n\treturn err\n}": False,
}


@pytest.mark.parametrize("function", ASSIGNED)
def test_errors_that_go_assigns_are_raised_if_the_variable_is_returned(
    function: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content = f'package a\n\nvar Cold = errors.New("cold")\n\n{function}\n\nfunc other() error {{\n\treturn Cold\n}}\n'
    line = next(
        number for number, text in enumerate(content.splitlines(), 1) if number > 3 and "Cold" in text
    )
    answer = ask(engine, repository, ingested, "a.go", content)
    said = answer.words.partition("Not certain")[0]
    assert (f"f (a.go:{line})" in said, f"kept in a.go:{line}" in str(answer.limits)) == (
        ASSIGNED[function] is True,
        ASSIGNED[function] is None,
    ), answer.words
    assert "makes is raised there" not in answer.words


def test_a_function_of_go_raises_what_it_assigns(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content = (
        "package a\n\nfunc f() (err error) {\n\tif err == ErrCold {\n\t\terr = ErrHot\n\t}\n\treturn\n}\n"
    )
    repository.commit({"a.go": content})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "which errors does f raise?"
        )
    assert [evidence.line for evidence in answer.evidence] == [5]


# A file whose function `bake` raises a variable on line 5 that line 4 assigned `Cold`.
VARIABLES = {
    "a.py": "class Cold(Exception): pass\n\ndef bake(x):\n    error = Cold(x)\n    raise error from None\n",
    "a.js": "class Cold extends Error {}\n\nfunction bake(x) {\n  const error = new Cold(x)\n  throw error\n}\n",
    "a.ts": "class Cold extends Error {}\n\nfunction bake(x) {\n  const e: Error = new Cold(x)\n  throw e;\n}\n",
    "A.java": "class A {\n  // Bakes.\n  void bake(int x) {\n    Cold error = new Cold(x);\n    throw error;\n  }\n}\n",
    "a.cs": "class A {\n\n  void bake(int x) {\n    var error = new Cold(x);\n    throw error;\n  }\n}\n",
    "a.kt": "class Cold : Exception()\n\nfun bake(x: Int) {\n  val error = Cold(x)\n  throw error\n}\n",
    "a.php": "<?php\n\nfunction bake($x) {\n  $error = new Cold($x);\n  throw $error;\n}\n",
    "a.swift": "struct Cold: Error {}\n\nfunc bake(x: Int) throws {\n  let error = Cold(x)\n  throw error\n}\n",
    "a.cpp": "struct Cold {};\n\nvoid bake(int x) {\n  auto error = Cold(x);\n  throw error;\n}\n",
    "a.rb": "class Cold < StandardError; end\n\ndef bake(x)\n  error = Cold.new(x)\n  raise error\nend\n",
}


@pytest.mark.parametrize("path", VARIABLES)
def test_of_a_variable_that_is_raised_what_it_was_assigned_is_named(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({path: VARIABLES[path]})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(connection, current_snapshot(connection, "project"), "what does bake raise?")
    assert "(line 5) with Cold (line 4) assigned" in answer.words
    assert {evidence.line for evidence in answer.evidence} == {4, 5}


def test_a_declaration_does_not_raise_by_its_name(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content = (
        "class A {\n  public void ThrowCold(int x) {\n    ThrowHeat(x);\n  }\n"
        "  void ThrowHeat(int x) => throw new Heat(x);\n}\n"
    )
    repository.commit({"a.cs": content})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        cold = answers.answer(connection, snapshot, "what does ThrowCold raise?")
        heat = answers.answer(connection, snapshot, "what does ThrowHeat raise?")
    assert [evidence.line for evidence in cold.evidence] == [3]
    assert [evidence.line for evidence in heat.evidence] == [5]


def test_a_method_of_an_error_of_go_does_not_make_it_by_its_receiver(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content = (
        "package a\n\ntype Cold struct{ cause error }\n\nfunc (c Cold) Error() string {\n\treturn c.cause.Error()\n}\n\n"
        "func bake() error {\n\treturn Cold{}\n}\n\ntype Heat struct{ cause error }\n\n"
        "func (h Heat) Error() string {\n\treturn h.cause.Error()\n}\n"
    )
    repository.commit({"a.go": content})
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "where is Cold returned?"
        )
    assert "bake (a.go:10)" in answer.words
    assert "makes" not in answer.words
    assert {evidence.line for evidence in answer.evidence} == {10}
