"""The gates `suppressions` and `comments`: what a change may do to comments."""

import dataclasses

import pytest

from qflow_dagster.generation import validation
from qflow_dagster.generation.validation import Answer, Subject
from tests.generation.conftest import request


def answer(gate: str, before: str, after: str, rule: str, language: str) -> Answer:
    path = {"python": "a.py", "javascript": "a.js", "go": "a.go"}[language]
    asked = dataclasses.replace(request(rule, before, path), language=language, findings=())
    return validation.GATES[gate](Subject(asked, {path: after}, []))


NONE, GO, JS = "python/comparison-to-none", "go/replace-all", "javascript/object-assign-spread"


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("a = x == None\nb = x == None  # noqa: E711\n", "a = x is None\nb = x == None  # noqa: E711\n", ""),
        (
            "b = x == None  # noqa: E711\n",
            "b = x is None  # noqa: E711\n",
            "line 1 changes, which '# noqa: E711'",
        ),
        ("b = x == None  # noqa: E501\n", "b = x is None  # noqa: E501\n", ""),
        ("b = x == None  # noqa: E501\n", "b = x is None\n", "'# noqa: E501' is lost"),
        (
            "b = x == None  # type: ignore[x]\n",
            "b = x is None  # type: ignore[x]\n",
            "the type checker ignores",
        ),
        ("import os\nb = x == None  # qflow: ignore\n", "b = x == None  # qflow: ignore\n", ""),
        ("# flake8: noqa\na = x == None\n", "# flake8: noqa\na = x is None\n", "line 2 changes"),
    ],
)
def test_nothing_suppressed_changes(before: str, after: str, problem: str) -> None:
    verdict, evidence = answer("suppressions", before, after, NONE, "python")
    assert verdict == ("failed" if problem else "passed")
    assert problem in evidence


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("# why\na = x == None\n", "# why\na = x is None\n", ""),
        ("f()\n# why\na = x == None\n", "f()\n# why\na = x is None\n", ""),
        ("f()\n# why\na = x == None  # because\n", "f()\na = x is None  # because\n", "line 2 is lost"),
        ("a = (x  # left\n  == None)\n", "a = x is None\n", "line 1 is lost"),
        ("f()\n# stops\nreturn\ng()\n", "f()\n# stops\ng()\n", "line 2 would describe other code"),
        ("f()\n# of f\n\nreturn\ng()\n", "f()\n# of f\n\ng()\n", ""),
        ("f()\n# of g\ng()\n", "f()\n# of g\nnew()\ng()\n", "line 2 would describe other code"),
        ("# License\nimport os\nf()\n", "# License\nf()\n", ""),
        ("f()\n# ours\nimport os\nimport sys\n", "f()\n# ours\nimport sys\n", ""),
        ("# same\nf()\n# same\ng()\n", "# same\nf()\ng()\n", "is lost"),
    ],
)
def test_comments_stay_with_their_code(before: str, after: str, problem: str) -> None:
    verdict, evidence = answer("comments", before, after, NONE, "python")
    assert verdict == ("failed" if problem else "passed"), evidence
    assert problem in evidence


def test_comments_of_other_languages() -> None:
    before = "const j = Object.assign({},\n  x, // defaults first\n  y);\n"
    assert answer("comments", before, "const j = ({ ...x, ...y });\n", JS, "javascript")[0] == "failed"
    before = "package p\n\nvar a = strings.Replace(\n\ts, // the text\n\t-1, // all\n)\n"
    assert answer("comments", before, "package p\n\nvar a = strings.ReplaceAll(s)\n", GO, "go")[0] == "failed"


def test_a_rule_about_a_comment_removes_it() -> None:
    before = "# -*- coding: utf-8 -*-\nf()\n"
    assert answer("comments", before, "f()\n", "python/utf8-declaration", "python")[0] == "passed"


def test_no_comment_is_known_in_a_language_without_parser() -> None:
    asked = dataclasses.replace(request(), language="")
    assert validation.comments(Subject(asked, {}, []))[0] == "skipped"
