"""What was removed: the name that is asked, in its case and scope, though other code has it or one like it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import revision_answers
from qflow_dagster.knowledge.evidence import QuestionContext
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
