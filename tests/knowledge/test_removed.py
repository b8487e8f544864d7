"""What was removed: the name that is asked, in its case and scope, though other code has it or one like it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, revision_answers
from qflow_dagster.knowledge.evidence import QuestionContext
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import ANN, BOB, GitRepository, Ingested

# The files before, and after Bob removed something; the name that is gone, and where it was.
GONE = {
    "Shop::Logger": (
        {"lib/shop/logger.rb": "module Shop\n  class Logger\n  end\nend\n"},
        {"lib/shop/request.rb": "module Shop\n  def logger\n  end\nend\n"},
        "lib/shop/logger.rb was removed",
    ),
    "Shop::BigOven": (
        {"lib/shop/big_oven.rb": "module Shop\n  class BigOven\n  end\nend\n"},
        {"lib/shop/small.rb": "class Till\n  class BigOven\n  end\nend\n"},
        "lib/shop/big_oven.rb was removed",
    ),
    "Oven.warm": (
        {"a.py": "class Oven:\n    def warm(self):\n        pass\n\n    def cool(self):\n        pass\n"},
        {
            "a.py": "class Oven:\n    def cool(self):\n        pass\n",
            "b.py": "class Till:\n    def warm(self):\n        pass\n",
        },
        "the declaration of Oven.warm in a.py was removed",
    ),
    "Logger": (
        {"a.ts": "export class Logger {}\nexport const other = 1\n"},
        {"a.ts": "export const other = 1\n", "b.ts": "export const logger = () => new Logger()\n"},
        "the declaration of Logger in a.ts was removed",
    ),
    "shop::Stack": (
        {"a.h": "namespace shop {\nclass Stack {\n};\nclass Other {\n};\n}\n"},
        {"a.h": "namespace shop {\nclass Other {\n};\n}\n", "b.cpp": "void stack() { std::Stack s; }\n"},
        "the declaration of shop::Stack in a.h was removed",
    ),
    "Oven#Heat": (
        {"A.cs": "class Oven {\n  public void Heat() { }\n  public void Cool() { }\n}\n"},
        {
            "A.cs": "class Oven {\n  public void Cool() { }\n}\n",
            "B.cs": "class Till {\n  public void Heat() { }\n}\n",
        },
        "the declaration of Oven#Heat in A.cs was removed",
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_a_name_is_gone_though_another_one_is_like_it(
    name: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    before, after, words = GONE[name]
    repository.commit(after | before, "First", ANN)
    for path in before:
        (repository.path / path).unlink()
    removal = repository.commit(after, "Gone", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        sentence, evidence = revision_answers.removed(QuestionContext(connection, snapshot, name, []))
    assert words in sentence
    assert "by Bob: Gone" in sentence
    assert removal in [item.commit for item in evidence]


@pytest.mark.parametrize("name", ["Oven.warm", "Oven", "a.Oven", "warm"])
def test_what_exists_in_its_scope_was_not_removed(
    name: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "class Oven:\n    def warm(self):\n        pass\n"}, "First", ANN)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        sentence, _ = revision_answers.removed(QuestionContext(connection, snapshot, name, []))
    assert "was not removed" in sentence


# A name, what an answer on its removal says, and what it does not say.
MODULES = {
    "shop.old": ("the folder shop/old is gone: src/shop/old/a.py was removed", "docs/old"),
    "src/shop/old": ("the folder src/shop/old is gone", "Not certain"),
    "shop.old.a": ("src/shop/old/a.py was removed", "folder"),
    "shop/old/a": ("src/shop/old/a.py was removed", "folder"),
    "shop.old.a.Grill": ("the last code with Grill was removed", "was not looked at"),
    "old": ("the folder old is gone: src/shop/old/a.py was removed", "notes.rst was"),
    "Old": ("no commit of the history", "the folder"),
    "shop.web.json": ("src/shop/web/json.py was removed", "was not removed"),
    "shop.oven": ("was not removed: it exists at this commit, as src/shop/oven.py", "deprecated"),
    "shop.web": ("was not removed: it exists at this commit, as src/shop/web/page.py", "deprecated"),
    "shop.stove": ("; it is marked as deprecated (src/shop/stove.py:3: ", "stove.py was removed"),
    "shop.oven.bake": ("is defined in src/shop/oven.py:1; it is marked as deprecated", "removed on"),
    "shop.web.Page": ("was not removed: it is defined in src/shop/web/page.py:1", "deprecated"),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_folders_are_named_with_dots(
    name: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {
        "src/shop/oven.py": 'def bake():\n    warn("bake is deprecated")\n    return 1\n',
        "src/shop/stove.py": "from shop.oven import bake\n\nwarn('shop.stove is deprecated')\n",
        "src/shop/web/page.py": "class Page:\n    def json(self):\n        return 1\n",
    }
    gone = {
        "docs/old/notes.rst": "Old ovens.\n",
        "src/shop/old/a.py": "class Grill:\n    pass\n",
        "src/shop/old/b.py": "other = 1\n",
        "src/shop/web/json.py": "class Mixin:\n    pass\n",
    }
    moved = {path.removeprefix("src/"): content for path, content in (files | gone).items()}
    repository.commit(moved, "First", ANN)
    for path in moved:
        (repository.path / path).unlink()
    repository.commit(files | gone, "Move", ANN)
    for path in gone:
        (repository.path / path).unlink()
    removal = repository.commit(files, "Gone", BOB)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("removed", name))
    words, others = MODULES[name]
    assert words in answer.words, answer.words
    assert others not in answer.words, answer.words
    assert ("by Bob: Gone" in answer.words) == (
        removal in [item.commit for item in answer.evidence if not item.line]
    )


def test_what_a_type_never_had_is_not_known_whatever_had_the_name(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.rs": "enum Kind {\n    Warm,\n}\n", "b.rs": "enum Other {\n    Delta,\n}\n"})
    repository.commit({"b.rs": "enum Other {\n    Gamma,\n}\n"})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.answer(connection, snapshot, "when was Kind::Delta added?")
    assert answer.understood.kind == "not known"
    assert "this is of what had the name Delta" in answer.words
