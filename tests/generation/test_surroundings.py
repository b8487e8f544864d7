"""What the rest of the repository says of a file, looked up for a batch of requests."""

from qflow_dagster.generation import surroundings
from qflow_dagster.generation.generators.protocol import Request, Surroundings
from qflow_dagster.generation.repository_gates import Batch
from tests.generation.conftest import request
from tests.improvement_loop import Loop


def looked_up(loop: Loop, *requests: Request) -> list[Surroundings]:
    loop.ingested(loop.repository)
    snapshot = loop.snapshot()
    with Batch(loop.engine, loop.repository.path, snapshot) as batch:
        results = surroundings.look_up(batch, requests)
    return [result.surroundings for result in results]


def test_names_that_other_files_import_read_or_write_in_a_text(loop: Loop) -> None:
    shapes = "import json\nimport re\nfrom collections import OrderedDict\n"
    loop.repository.commit(
        {
            "app/shapes.py": shapes,
            "app/uses.py": "from app.shapes import OrderedDict\n\nprint(OrderedDict)\n",
            "app/other.py": "from app import shapes\n\nprint(shapes.re)\n",
            "test_app.py": "PATCHED = 'app.shapes.json'\n",
        }
    )
    [found] = looked_up(loop, request("python/unused-import", shapes, "app/shapes.py"))
    assert found.imported_names is not None
    assert found.imported_names >= {"OrderedDict", "re", "json"}


def test_an_import_of_everything_leaves_open_which_names_are_used(loop: Loop) -> None:
    loop.repository.commit({"shapes.py": "import json\n", "uses.py": "from shapes import *\n"})
    [found] = looked_up(loop, request("python/unused-import", "import json\n", "shapes.py"))
    assert found.imported_names is None


def test_types_come_from_the_whole_repository(loop: Loop) -> None:
    code = "from options import flags\n\n\ndef command():\n    return ['git'] + flags()\n"
    loop.repository.commit({"a.py": code, "options.py": "def flags() -> list[str]:\n    return ['-q']\n"})
    [found] = looked_up(loop, request("python/collection-concatenation", code, "a.py"))
    start = code.index("flags()")
    assert found.types == {(start, start + len("flags()")): "list[str]"}


def test_libraries_and_classes_that_give_equality_a_meaning_are_known(loop: Loop) -> None:
    code = "def missing(value):\n    return value == None\n"
    loop.repository.commit({"a.py": code})
    [plain] = looked_up(loop, request(code=code))
    loop.repository.commit({"b.py": "import numpy as np\n\nprint(np.array([1]))\n"})
    [library] = looked_up(loop, request(code=code))
    assert plain.foreign_equality == ""
    assert "numpy" in (library.foreign_equality or "")
