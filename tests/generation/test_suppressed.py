"""What is suppressed, by a comment, a person or a baseline, keeps every byte; what is not is changed."""

from pathlib import Path

from qflow_dagster.evolution import findings
from tests.improvement_loop import Loop

INPUTS = Path(__file__).parent / "changes" / "suppressed"
BASELINE = "def old(a, b):\n    return not a in b\n"
CHANGED = "def new(a, b):\n    return not a in b, not b in a  # noqa: E501\n"


def test_suppressed_locations_stay_and_the_others_change(loop: Loop) -> None:
    loop.repository.commit({"old.py": BASELINE})
    loop.find()
    with loop.engine.begin() as connection:
        findings.baseline(connection, loop.snapshot().repository_id, actor="ada")
    loop.repository.commit({path.name: path.read_text() for path in INPUTS.iterdir()} | {"new.py": CHANGED})
    loop.find()
    with loop.engine.begin() as connection:
        [meant] = [row for row in findings.find(connection, path="two.py", limit=100) if row["line"] == 6]
        findings.suppress(connection, [meant["id"]], actor="ada", reason="operator overloaded here")
    loop.plan()
    loop.generate(limit=50)
    suggestions = loop.waiting()
    for suggestion in suggestions:
        loop.approve(suggestion)
    branches = [applied.branch for applied in loop.apply() if applied.commit]
    assert branches

    def lines(path: str, branch: str) -> list[str]:
        return loop.repository.git("show", f"{branch}:{path}").splitlines()

    kept = {"noqa_bare.py": [11, 18], "noqa_mut.py": [5], "qig.py": [6], "two.py": [6], "old.py": [1, 2]}
    for path, numbers in kept.items():
        before = (BASELINE if path == "old.py" else (INPUTS / path).read_text()).splitlines()
        for branch in branches:
            for number in numbers:
                assert before[number - 1] in lines(path, branch), f"{path}:{number} on {branch}"
    after = {
        path: {line.strip() for branch in branches for line in lines(path, branch)}
        for path in ("new.py", "f.py")
    }
    assert "return a not in b, b not in a  # noqa: E501" in after["new.py"]
    # A location that cannot be changed blocks no other.
    assert 'h = f"{k}"' in after["f.py"]
    assert any(lines("g.js", branch)[1:2] == ["  if (n) send(1); else debugger;"] for branch in branches)
