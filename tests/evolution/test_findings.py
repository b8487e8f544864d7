"""Findings: found once, followed as code moves, fixed, reopened, suppressed; evaluated only where something is new."""

import json

import pytest
from sarif_pydantic import Sarif
from sqlalchemy import text

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import findings, rule_engine, rule_set, sarif
from tests.improvement_loop import MUTABLE, NONE, Loop


def test_a_finding_lives_through_moves_fix_and_return(loop: Loop) -> None:
    loop.repository.commit({"app/a.py": MUTABLE, "app/b.py": NONE})
    assert loop.find() == {"new": 2, "fixed": 0, "reopened": 0, "suppressed": 0}
    assert loop.open() == [
        ("python/comparison-to-none", "app/b.py", 2),
        ("python/mutable-default", "app/a.py", 1),
    ]

    loop.repository.commit({"app/a.py": "# a word\n\n\n" + MUTABLE})
    assert loop.find() == {"new": 0, "fixed": 0, "reopened": 0, "suppressed": 0}
    assert ("python/mutable-default", "app/a.py", 4) in loop.open()

    loop.repository.commit({"app/a.py": "x = 1\n"})
    assert loop.find()["fixed"] == 1
    loop.repository.commit({"app/a.py": MUTABLE})
    assert loop.find()["reopened"] == 1
    with loop.engine.connect() as connection:
        [row] = findings.find(connection, path="app/a.py")
        shown = findings.show(connection, row["id"])
    assert [(event["from"], event["to"]) for event in shown["history"]] == [
        (None, "open"),
        ("open", "fixed"),
        ("fixed", "reopened"),
    ]
    assert "found=[]" in shown["evidence"]["snippet"]


def test_two_alike_in_one_file_are_two_findings(loop: Loop) -> None:
    loop.repository.commit({"a.py": "def f(x):\n    x == 1\n    x == 1\n"})
    assert loop.find()["new"] == 2


def test_only_what_is_new_is_evaluated(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE, "c.js": "var x = 1;\n"})
    loop.find()
    again = rule_engine.evaluate(loop.engine, "project")
    assert again.files == 0
    loop.repository.commit({"b.py": NONE + "\n"})
    loop.ingested(loop.repository)
    assert rule_engine.evaluate(loop.engine, "project").files == 1


def test_a_changed_rule_looks_at_everything_of_its_language_again(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.repository.commit({"a.py": MUTABLE, "b.py": NONE, "c.js": "var x = 1;\n"})
    loop.find()
    rules = list(rule_set.load_rules())
    changed = [
        rule.model_copy(update={"version": 2}) if rule.id == "python/utcnow" else rule for rule in rules
    ]
    monkeypatch.setattr(rule_set, "load_rules", lambda: tuple(changed))
    assert rule_engine.evaluate(loop.engine, "project").files == 2


def test_a_person_suppresses_with_a_reason_and_restores(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    with loop.engine.begin() as connection:
        [row] = findings.find(connection)
        with pytest.raises(UsageError, match="needs a reason"):
            findings.suppress(connection, [row["id"]], actor="ada", reason=" ")
        assert findings.suppress(connection, [row["id"]], actor="ada", reason="a cache") == 1
    # It stays so, whatever is found, until somebody restores it.
    loop.repository.commit({"b.py": "x = 1\n"})
    loop.find()
    assert loop.open() == []
    with loop.engine.begin() as connection:
        assert findings.restore(connection, [row["id"]], actor="ada") == 1
    assert len(loop.open()) == 1


def test_after_a_baseline_only_what_comes_later_is_open(loop: Loop) -> None:
    loop.repository.commit({"a.py": MUTABLE})
    loop.find()
    with loop.engine.begin() as connection:
        assert findings.baseline(connection, loop.snapshot().repository_id, actor="ada") == 1
    loop.repository.commit({"b.py": NONE})
    loop.find()
    assert loop.open() == [("python/comparison-to-none", "b.py", 2)]


def test_a_comment_suppresses_and_its_removal_opens_again(loop: Loop) -> None:
    marked = NONE.replace("None\n", "None  # qflow: ignore[python/comparison-to-none]\n")
    loop.repository.commit({"a.py": marked})
    assert loop.find()["suppressed"] == 1
    loop.repository.commit({"a.py": NONE})
    loop.find()
    assert loop.open() == [("python/comparison-to-none", "a.py", 2)]


def test_hostile_files_are_evaluated_or_passed_over_and_the_rest_goes_on(loop: Loop) -> None:
    loop.repository.commit(
        {
            "latin.py": "x = 'é'\n".encode("latin-1"),
            "deep.py": "x = " + "(" * 5_000 + ")" * 5_000 + "\n",
            "nul.py": b"x = 1\0\n",
            "broken.py": "def f(:\n",
            "we ird\n$(touch x).py": NONE,
            "good.py": MUTABLE,
        }
    )
    loop.find()
    assert {rule for rule, _, _ in loop.open()} >= {"python/mutable-default", "python/comparison-to-none"}


def test_measures_become_findings_with_the_measures_as_evidence(loop: Loop) -> None:
    branches = "".join(f"        if a == {n} and b:\n            return {n}\n" for n in range(40))
    loop.repository.commit({"a.py": f"def f(a, b):\n    for _ in a:\n{branches}    return a\n"})
    loop.find()
    with loop.engine.connect() as connection:
        [row] = findings.find(connection, rule="maintainability/very-complex-function")
        evidence = findings.show(connection, row["id"])["evidence"]
    assert (row["path"], row["symbol"]) == ("a.py", "f")
    assert evidence["cognitive"] > 50


# SARIF


def test_what_is_exported_is_sarif_and_says_all(loop: Loop) -> None:
    loop.repository.commit({"app/a b.py": MUTABLE, "app/é.py": NONE})
    loop.find()
    with loop.engine.begin() as connection:
        [row] = findings.find(connection, rule="python/comparison-to-none")
        findings.suppress(connection, [row["id"]], actor="ada", reason="on purpose")
        log = sarif.export(connection, loop.snapshot(), suppressed=True)
    read = Sarif.model_validate(json.loads(json.dumps(log)))
    assert read.version == "2.1.0"
    first, second = log["runs"][0]["results"]
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "app/a%20b.py"
    assert location["region"]["startLine"] == 1
    assert second["suppressions"] == [{"kind": "external", "justification": "on purpose"}]


def report(*results: dict, tool: str = "othertool") -> bytes:
    return json.dumps(
        {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": tool}}, "results": list(results)}]}
    ).encode()


def result(path: str = "a.py", rule: str = "X1", line: int = 1, **more: object) -> dict:
    region = {"startLine": line, "snippet": {"text": f"line {line}"}}
    place = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}}
    return {
        "ruleId": rule,
        "message": {"text": f"{rule} here"},
        "locations": [place],
        "level": "error",
        **more,
    }


def test_another_tools_report_becomes_findings_and_what_it_no_longer_says_is_fixed(loop: Loop) -> None:
    loop.repository.commit({"a.py": "x = 1\ny = 2\n"})
    loop.find()
    with loop.engine.begin() as connection:
        [done] = sarif.import_log(
            connection,
            loop.snapshot(),
            report(result(), result(line=2), result("../../etc/passwd"), result("no.py")),
        )
    assert (done.tool, done.taken, done.elsewhere) == ("othertool", 2, 2)
    assert loop.open() == [("othertool/X1", "a.py", 1), ("othertool/X1", "a.py", 2)]
    # Our own evaluation leaves another tool's findings alone.
    loop.find()
    assert len(loop.open()) == 2
    with loop.engine.begin() as connection:
        [done] = sarif.import_log(connection, loop.snapshot(), report(result(line=2)))
    assert done.changes["fixed"] == 1
    assert len(loop.open()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json", "not valid SARIF"),
        (b"[]", "an object with"),
        (b'{"version": "2.0.0", "runs": []}', "2.1.0"),
        (b'{"version": "2.1.0", "runs": [{}]}', r"runs\[0\]\.tool\.driver is missing"),
        (report({"ruleId": "x"}), r"results\[0\]\.message is missing"),
        (report(tool="rules"), "not the name of another tool"),
    ],
)
def test_what_is_no_sarif_is_refused_and_nothing_is_stored(loop: Loop, content: bytes, words: str) -> None:
    loop.repository.commit({"a.py": "x = 1\n"})
    loop.find()
    with loop.engine.begin() as connection, pytest.raises(UsageError, match=words):
        sarif.import_log(connection, loop.snapshot(), content)
    with loop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM findings")) == 0


UNREADABLE = [5, None, [], {"message": "x"}, {"message": {"text": "y"}, "locations": 5}]


def test_a_result_that_cannot_be_read_costs_only_itself(loop: Loop) -> None:
    loop.repository.commit({"a.py": "x = 1\ny = 2\n"})
    loop.find()
    odd = {
        "ruleId": ["no text"],
        "rule": 5,
        "level": {},
        "suppressions": 7,
        "message": {"text": "nul \0, half \ud800"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "a.py"},
                    "region": {"startLine": True, "startColumn": 1e400, "endLine": 10**30, "snippet": ["x"]},
                }
            }
        ],
    }
    with loop.engine.begin() as connection:
        [done] = sarif.import_log(
            connection, loop.snapshot(), report(result(), *UNREADABLE, odd, result("//[", line=2))
        )
    assert (done.taken, done.elsewhere, len(done.refused)) == (2, 2, 4)
    assert done.refused[0] == "not valid SARIF: othertool: results[1].message is missing or not an object"
    assert loop.open() == [("othertool/X1", "a.py", 1), ("othertool/unnamed", "a.py", 1)]
    with loop.engine.connect() as connection:
        messages = set(connection.scalars(text("SELECT message FROM findings")))
    assert messages == {"X1 here", "nul \ufffd, half \ufffd"}


KEY = 'key = "AKIAZ7EXQ2MNOP4RSTUV"\n'


def test_a_secret_in_a_test_example_document_or_rule_is_information(loop: Loop) -> None:
    lenient = (
        "tests/test_a.py",
        "examples/a.py",
        "docs/a.md",
        "README.md",
        "rules/aws.yaml",
        ".gitleaks.toml",
        "config.env.example",
    )
    loop.repository.commit(dict.fromkeys(("app/a.py", "config.env", *lenient), KEY))
    loop.find()
    with loop.engine.connect() as connection:
        rows = findings.find(connection, rule="security/access-token")
    severities = {row["path"]: row["severity"] for row in rows}
    assert severities == {"app/a.py": "error", "config.env": "error", **dict.fromkeys(lenient, "info")}
