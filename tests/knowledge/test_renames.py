"""What had another name before, or has one since: files and declarations, when, by whom and in which commit."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, renames
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested

BODY = "\n".join(f"    step_{number} = oven + {number}" for number in range(9))
# Kind, subject, words of the answer, words that it must not have, subjects of the commits that are evidence.
QUESTIONS = [
    (
        "introduced",
        "shop/oven.py",
        ["as shop/heat.py", "renamed from shop/heat.py to shop/warm.py", "by Bob"],
        [],
        ["Warm"],
    ),
    (
        "history",
        "shop/oven.py",
        ["renamed from shop/warm.py to shop/oven.py on 2023-11-15 by Ann: Oven"],
        [],
        ["Oven"],
    ),
    (
        "removed",
        "shop/oven.py",
        ["was not removed", "renamed from shop/warm.py to shop/oven.py"],
        [],
        ["Oven"],
    ),
    (
        "removed",
        "shop/heat.py",
        ["shop/heat.py was renamed to shop/warm.py", "shop/warm.py was renamed to shop/oven.py"],
        [],
        ["Warm", "Oven"],
    ),
    (
        "removed",
        "shop/dough.py",
        ["renamed to shop/paste.py", "shop/paste.py was removed", "Clean"],
        [],
        ["Clean"],
    ),
    ("introduced", "shop/till.py", ["was introduced"], ["renamed"], []),
    ("removed", "bake", ["bake was renamed to roast on 2023-11-15 by Bob: Roast"], ["last code"], ["Roast"]),
    ("introduced", "roast", ["under the name bake: First"], [], []),
    # What stands where it stood is another function.
    (
        "removed",
        "count_coins",
        ["the last code with count_coins was removed", "Bob: Roast"],
        ["renamed"],
        ["Roast"],
    ),
]


def test_renames_of_files_and_names(engine: Engine, repository: GitRepository, ingested: Ingested) -> None:
    bake = f"def bake(oven):\n{BODY}\n"
    till = "def count_coins(till):\n    return till.coins\n\n\ndef open_till():\n    return 1\n"
    repository.commit({"shop/heat.py": bake, "shop/dough.py": f"{BODY}\n", "shop/till.py": till}, "First")
    repository.git("mv", "shop/heat.py", "shop/warm.py")
    repository.git("mv", "shop/dough.py", "shop/paste.py")
    repository.commit({}, "Warm", BOB)
    repository.git("mv", "shop/warm.py", "shop/oven.py")
    repository.commit({}, "Oven", ANN)
    repository.git("rm", "-q", "shop/paste.py")
    repository.commit({}, "Clean", BOB)
    repository.commit(
        {
            "shop/oven.py": bake.replace("bake", "roast"),
            "shop/till.py": till.replace(
                "count_coins(till):\n    return till.coins", "lock_door(till):\n    pass"
            ),
        },
        "Roast",
        BOB,
    )
    ingested(repository)
    wrong = []
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for kind, subject, words, others, commits in QUESTIONS:
            answer = answers.of(connection, snapshot, ParsedQuestion(kind, subject))
            subjects = [repository.git("show", "-s", "--format=%s", item.commit) for item in answer.evidence]
            if (
                not all(word in answer.words for word in words)
                or any(word in answer.words for word in others)
                or not set(subjects) >= set(commits)
            ):
                wrong.append((kind, subject, answer.words, subjects))
    assert wrong == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("a.py", "    def {}(self, oven):"),
        ("a.ts", "export const {} = (oven: Oven) => 1"),
        ("a.js", "function {}(oven) {{"),
        ("a.go", "func (s *Shop) {}(oven Oven) int {{"),
        ("a.rs", "    pub fn {}(&self) -> u8 {{"),
        ("A.java", "    public static <T> List<T> {}(T oven) {{"),
        ("a.kt", "    fun {}(oven: Oven): Int {{"),
        ("a.c", "static int {}(struct oven *oven)"),
        ("a.cpp", "class {} : public Oven {{"),
        ("A.cs", "    internal int {}(Oven oven)"),
        ("a.rb", "  def {}(oven)"),
        ("a.php", "    public function {}(Oven $oven): int"),
        ("a.swift", "    func {}(oven: Oven) -> Int {{"),
    ],
)
def test_renamed_declarations_of_each_language(repository: GitRepository, file: str, line: str) -> None:
    repository.commit({file: f"{line.format('warmUp')}\nx\n"})
    renamed = repository.commit({file: f"{line.format('heatUp')}\nx\n"})
    objects = repository.path / ".git"
    assert renames.name_since(objects, renamed, "warmUp") == "heatUp"
    assert renames.name_before(objects, renamed, "heatUp") == "warmUp"
    assert renames.name_since(objects, renamed, "heatUp") is None
