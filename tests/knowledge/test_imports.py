"""A file may import another one in several places: each of these lines is evidence."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

# A file that imports another one on its lines 1 and 4, by language.
FILES = {
    "Python": {
        "shop/oven.py": "def heat(): return 1\n\n\ndef cool(): return 2\n",
        "use.py": "from shop.oven import heat\n\ndef late():\n    from shop.oven import cool\n    return cool\n",
    },
    "TypeScript": {
        "shop/oven.ts": "export const heat = 1\nexport type Heat = number\n",
        "use.ts": "import { heat } from './shop/oven'\n\n// Types alone.\nimport type { Heat } from './shop/oven'\n",
    },
    "JavaScript": {
        "shop/oven.js": "exports.heat = 1\n",
        "use.js": "const { heat } = require('./shop/oven')\n\nfunction late () {\n  return require('./shop/oven')\n}\n",
    },
    "Ruby": {
        "shop/oven.rb": "def heat\nend\n",
        "use.rb": "require_relative 'shop/oven'\n\ndef late\n  require_relative 'shop/oven'\nend\n",
    },
    "Java": {
        "shop/Oven.java": "package shop;\n\npublic class Oven { public static int A = 1; }\n",
        "Use.java": "import shop.Oven;\n\n// For its constant.\nimport static shop.Oven.A;\n\nclass Use {}\n",
    },
    "C": {
        "shop/oven.h": "int heat(void);\n",
        "use.c": '#include "shop/oven.h"\n\n#ifdef LATE\n#include "shop/oven.h"\n#endif\n',
    },
    "Rust": {
        "src/lib.rs": "pub mod oven;\npub mod taste;\n",
        "src/oven.rs": "pub fn heat() {}\npub fn cool() {}\n",
        "src/taste.rs": "use crate::oven::heat;\n\nfn late() {\n    use crate::oven::cool;\n}\n",
    },
}


@pytest.mark.parametrize("language", FILES)
def test_all_lines_that_import_a_file_are_evidence(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    imported, importing = list(FILES[language])[-2:]
    repository.commit(FILES[language])
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for kind, subject in (
            ("dependents", imported),
            ("affected", imported),
            ("dependencies", importing),
            ("dependents", imported.rpartition("/")[0]),
        ):
            if kind == "dependents" and language == "Rust" and subject == "src":
                continue
            answer = answers.of(connection, snapshot, ParsedQuestion(kind, subject))
            found = {evidence.line for evidence in answer.evidence if evidence.path == importing}
            assert {1, 4} <= found, (kind, answer.words)


def test_all_lines_that_import_a_package_are_evidence(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    code = "import oven\n\ndef late():\n    from oven.door import handle\n    return handle\n"
    repository.commit({"requirements.txt": "oven>=1\n", "use.py": code})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("requirements", "oven"))
    assert {1, 4} <= {evidence.line for evidence in answer.evidence if evidence.path == "use.py"}
