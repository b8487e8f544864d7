"""What several things have as their name is answered for each of them, or for the one that a path selects."""

from pathlib import Path

import yaml
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import BOB, GitRepository, Ingested

FILES: dict[str, str] = yaml.safe_load((Path(__file__).parent / "homonyms.yaml").read_text())

# Question, what the answer says, what it does not say.
QUESTIONS = [
    ("What are the members of Pot?", ["2 definitions", "steep", "drain", "tests/test_pot.py:Pot"], []),
    ("What are the members of py/plant.py:Pot?", ["drain"], ["steep", "definitions"]),
    ("What does Pot inherit from?", ["py/tea.py:3) inherits from Vessel", "inherits from Holder"], []),
    ("What is Pot?", ["Holds tea", "Holds soil"], []),
    ("what exceptions does Pot raise?", ["TooHot", "TooWet"], []),
    ("When was clean introduced?", ["by Ann: First", "by Bob: Plants"], []),
    ("Who wrote clean?", ["py/tea.py:9) was written by Ann", "py/plant.py:7) was written by Bob"], []),
    ("when was clean last changed?", ["by Ann: First", "by Bob: Plants"], []),
    ("why is clean complex?", ["py/tea.py:9): cognitive 1", "py/plant.py:7): cognitive 0"], []),
    ("what breaks if I change clean?", ["py/tea.py", "py/plant.py"], []),
    ("How are clean and Pot related?", ["not answered for", "py/tea.py:clean", "tests/test_pot.py:Pot"], []),
    (
        "What are the members of Conn?",
        ["Conn (go/a/a.go:4) has 2 members: Host (line 5), Close", "Conn (go/b/b.go:4) has 2"],
        [],
    ),
    ("what does go/b/b.go:Conn do?", ["of a database"], ["of a network"]),
    ("who wrote Close?", ["go/a/a.go", "go/b/b.go", "by Ann", "by Bob"], []),
    ("What does Entry inherit from?", ["Outer.Entry", "Base", "Other.Entry", "Runnable"], []),
    ("What does Outer.Entry inherit from?", ["Base"], ["Runnable", "definitions"]),
    ("What are the methods of Ledger?", ["Post", "Close"], ["definitions"]),
    ("What does Ledger inherit from?", ["Book", "IClosable"], ["definitions"]),
    ("What are the members of rs/geo.rs:Shape?", ["measure"], ["draw"]),
    ("What are the members of Shape?", ["2 definitions", "draw", "measure"], []),
    ("What does rs/shape.rs:Shape inherit from?", ["Drawn"], []),
    ("What are the methods of Kettle?", ["boil", "whistle"], ["definitions"]),
    ("What does Kettle inherit from?", ["Pan"], ["definitions"]),
    ("What does Options inherit from?", ["Shared", "Other"], []),
    ("who wrote list_length?", ["c/list.c"], ["definitions"]),
    # A stub declares what its module defines.
    ("What are the methods of Cup?", ["2 members: fill (line 4), sip (line 7)"], ["definitions", "pyi"]),
    ("What is Cup?", ["Is drunk from"], ["definitions", "pyi"]),
    ("who calls rinse?", ["rinse is called in 1 symbol: Cup.fill (py/cup.py:5)"], ["may"]),
    ("where is rinse defined?", ["py/cup.py, line 10", "py/cup.pyi:5"], []),
    (
        "Why does the `fill` method in `Cup` delegate so much?",
        ["what does Cup.fill call", "rinse"],
        ["Barrel"],
    ),
    (
        "which tests cover clean?",
        ["1 of 2 lines of clean (py/tea.py:9)", "2 of 2 lines of clean (py/plant.py:7)"],
        [],
    ),
]


def test_homonyms_are_answered_for_each(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    later = ("py/plant.py", "go/b/b.go")
    repository.commit({path: content for path, content in FILES.items() if path not in later}, "First")
    repository.commit({path: FILES[path] for path in later}, "Plants", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    pipeline.compute_all(engine, snapshot.id)
    wrong = []
    with engine.connect() as connection:
        for question, said, unsaid in QUESTIONS:
            words = answers.answer(connection, snapshot, question).words
            if not all(part in words for part in said) or any(part in words for part in unsaid):
                wrong.append((question, words))
    assert not wrong, "\n".join(f"{question} -> {words}" for question, words in wrong)


# Types of C# that differ by the number of their parameters.
GENERIC = {
    "a.cs": "namespace V;\npublic interface ICheck<in T> : ICheck {\n  bool Valid(T x);\n}\npublic interface ICheck {\n  bool Check();\n}\n"
    "public class Pair<T> {\n  public Pair(T x) {}\n}\npublic class Pair<T, U> : Pair<T> {\n  public Pair(T x, U y) {}\n}\n",
    "b.cs": "namespace V;\nclass Base<T> : ICheck<T> { }\nclass Plain : ICheck { }\nclass Both : ICheck<Pair<int, int>>, ICheck { }\n"
    "class Two : Pair<int, string> { }\n",
    "c.cs": "namespace V;\nclass D {\n  void F() { var x = new Pair<int>(1); }\n}\n",
}
APART = {
    "where is ICheck defined?": "ICheck<T> is defined in a.cs, line 2; also ICheck (a.cs:5)",
    "where is ICheck<T> defined?": "the interface ICheck<T> is defined in a.cs, line 2",
    "what implements ICheck?": "2 definitions have the name ICheck: 2 types inherit from ICheck<T> (a.cs:2): Base (b.cs:2), "
    "Both (b.cs:4). 3 types inherit from ICheck (a.cs:5) directly: ICheck (a.cs:2), Plain (b.cs:3), Both (b.cs:4); "
    "and through them: Base (b.cs:2, through ICheck<T>)",
    "what implements ICheck<Order>?": "2 types inherit from ICheck<T> (a.cs:2): Base (b.cs:2), Both (b.cs:4)",
    "what inherits from Pair<T, U>?": "1 type inherits from Pair<T, U> (a.cs:11): Two (b.cs:5)",
    "what does Base inherit from?": "Base<T> (b.cs:2) inherits from ICheck<T> (a.cs:2)",
    "what does Both inherit from?": "Both (b.cs:4) inherits from ICheck<T> (a.cs:2), ICheck (a.cs:5)",
    "what are the members of ICheck<T>?": "ICheck<T> (a.cs:2) has 1 member: Valid (line 3); it inherits 1 member: Check",
    "who calls Pair?": "Not certain: uses of these are not told apart: Pair<T> (a.cs:8), Pair<T, U> (a.cs:11)",
}


def test_types_with_other_parameters_are_others(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(GENERIC)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        words = {question: answers.answer(connection, snapshot, question).words for question in APART}
    assert {question: said for question, said in APART.items() if said not in words[question]} == {}, words


def test_names_have_namespaces_and_capitals(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "src/Oven.php": "<?php\nnamespace Shop;\n\nclass Oven {}\n",
            "src/Hot.php": "<?php\nnamespace Shop\\Oven;\n\ninterface Hot {}\n",
            "src/Warm.php": "<?php\nnamespace Shop;\n\nuse Shop\\Oven\\Hot;\n\nclass Warm implements Hot {}\n",
            "pager.py": "import os\n\n\ndef pager():\n    return os.environ['PAGER']\n\n\npager()\n",
            "buffer.c": "#ifndef SIZE_OF_BUFFER\n#define SIZE_OF_BUFFER 64\n#endif\n\n"
            + "".join(f"char a{n}[SIZE_OF_BUFFER];\n" for n in range(4)),
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        hot = answers.answer(connection, snapshot, "which classes implement Shop\\Oven\\Hot?")
        pager = answers.answer(connection, snapshot, "where is PAGER read?")
        size = answers.answer(connection, snapshot, "where is SIZE_OF_BUFFER read?")
    assert ("src/Warm.php", 6) in [(e.path, e.line) for e in hot.evidence]
    assert not hot.limits
    assert [(e.path, e.line) for e in pager.evidence] == [("pager.py", 5)]
    assert "#define SIZE_OF_BUFFER 64" in size.words
