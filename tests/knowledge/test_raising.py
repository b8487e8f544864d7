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
