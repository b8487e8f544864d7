"""What the rest of the repository says of a file, looked up for a batch of requests."""

import json

import pytest

from qflow_dagster.errors import QflowError
from qflow_dagster.generation import candidate_records, surroundings
from qflow_dagster.generation.generators.protocol import Request, Surroundings
from qflow_dagster.generation.preconditions import oldest_versions
from qflow_dagster.generation.repository_gates import Batch
from tests.generation.conftest import changes, request
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


SHAPES = "import json\nimport re\n\nprint(re)\n"
WHEEL = b"PK\3\4\0\0" + bytes(range(256))


def damage(loop: Loop, path: str, how: str = "missing") -> None:
    file = loop.repository.loose(f"HEAD:{path}")
    file.chmod(0o644)
    file.unlink() if how == "missing" else file.write_bytes(b"nonsense")


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_data_file_that_cannot_be_read_costs_no_change(loop: Loop, how: str) -> None:
    loop.repository.commit({"tools/shapes.py": SHAPES, "tools/a.whl": WHEEL, "tests/b.feather": WHEEL[::-1]})
    damage(loop, "tools/a.whl", how)
    damage(loop, "tests/b.feather", how)
    [suggestion] = loop.improve()
    loop.approve(suggestion)
    [applied] = loop.apply()
    assert applied.branch, applied
    before, after = (
        "json" in loop.repository.git("show", f"{at}:tools/shapes.py") for at in ("HEAD", applied.branch)
    )
    assert (before, after) == (True, False)


@pytest.mark.parametrize("path", ["other.py", "docs/guide.md", "bin/tool", "notes.unusual"])
def test_a_text_that_cannot_be_read_may_use_any_name(loop: Loop, path: str) -> None:
    loop.repository.commit({"shapes.py": SHAPES, path: "shapes.json\n", "read.unusual": "a text\n"})
    damage(loop, path)
    [found] = looked_up(loop, request("python/unused-import", SHAPES, "shapes.py"))
    assert (found.imported_names, found.missing_file) == (None, path)


def test_a_text_that_cannot_be_read_costs_only_changes_that_depend_on_names(loop: Loop) -> None:
    loop.repository.commit(
        {"a.py": "import json\n\n\ndef far(a, b):\n    return not a in b\n", "docs/guide.md": "a.json\n"}
    )
    damage(loop, "docs/guide.md")
    assert changes(loop) == {"a.py": ["return a not in b"]}


@pytest.mark.parametrize(
    ("path", "reason"), [("c.md", ""), ("b.py", "b.py is missing, which may give == a meaning")]
)
def test_a_module_that_cannot_be_read_may_give_equality_a_meaning(loop: Loop, path: str, reason: str) -> None:
    code = "def missing(value):\n    return value == None\n"
    loop.repository.commit({"a.py": code, path: "a text\n"})
    damage(loop, path)
    [found] = looked_up(loop, request(code=code))
    assert (found.foreign_equality or "").startswith(reason)
    assert bool(found.foreign_equality) == bool(reason)


def test_a_configuration_that_cannot_be_read_leaves_open_what_the_tools_would_say(loop: Loop) -> None:
    loop.repository.commit({"a.py": "x = 1\n", "pyproject.toml": "[tool.ruff]\n"})
    damage(loop, "pyproject.toml")
    loop.ingested(loop.repository)
    batch = Batch(loop.engine, loop.repository.path, loop.snapshot())
    with pytest.raises(QflowError, match=r"pyproject\.toml is missing or damaged, and may configure"), batch:
        _ = batch.folder


LOG = "import logging\n\nlog = logging.getLogger(__name__)\n\n\ndef {name}(path: str) -> None:\n"
F_STRING = '    log.info(f"reading {path}")\n'
ARGUMENT = '    log.info("reading %s", path)\n'


@pytest.mark.parametrize(
    ("f_strings", "arguments", "linters", "offered"),
    [
        (6, 0, {}, False),
        (6, 4, {}, False),
        (6, 6, {}, True),
        (4, 0, {}, True),
        (6, 0, {"ruff.toml": "lint.select = ['G004']\n"}, True),
        (6, 0, {".pylintrc": "[BASIC]\ngood-names=log\n"}, False),
    ],
)
def test_a_style_that_the_repository_uses_throughout_is_kept(
    loop: Loop, f_strings: int, arguments: int, linters: dict[str, str], offered: bool
) -> None:
    one = LOG.replace("{name}", "one") + F_STRING
    others = LOG.replace("{name}", "many") + F_STRING * (f_strings - 1) + ARGUMENT * arguments
    loop.repository.commit({"one.py": one, "many.py": others, **linters})
    loop.find()
    [found] = looked_up(loop, request("python/logging-with-f-string", one, "one.py"))
    if offered:
        assert found.convention == ""
    else:
        assert f"writes 6 of {6 + arguments} such locations" in (found.convention or "")


def test_a_file_is_changed_for_the_python_of_its_own_folder(loop: Loop) -> None:
    code = "class Shape(object):\n    def has(self, a, b):\n        return not a in b\n"
    manifests = {"pyproject.toml": "[project]\nrequires-python = '>=3.10'\n"}
    manifests["old/setup.py"] = "from setuptools import setup\nsetup(name='old', python_requires='>=2.7')\n"
    loop.repository.commit({**manifests, "new/shapes.py": code, "old/shapes.py": code})
    assert {path: set(lines) for path, lines in changes(loop).items()} == {
        "new/shapes.py": {"class Shape:", "return a not in b"}
    }
    found = {(rule, path) for rule, path, _ in loop.open()}
    assert {("python/object-base", "new/shapes.py"), ("python/not-in", "old/shapes.py")} <= found
    # What a newer Python has is none of its business.
    assert ("python/object-base", "old/shapes.py") not in found
    snapshot, paths = loop.snapshot(), ["old/shapes.py"]
    with loop.engine.connect() as connection:
        [withheld] = candidate_records.withheld(
            connection, snapshot.repository_id, snapshot.commit_oid, "python/not-in", paths
        )
    assert "Python 2" in withheld["reason"]


@pytest.mark.parametrize(
    ("stated", "oldest"),
    [
        (">= 0.10.0", (0, 10)),
        ("^4.8.4 || >=6", (4, 8)),
        ("v8.x", (8, 0)),
        (">=10.2 <13", (10, 2)),
        ("4.2 - 6", (4, 2)),
        ("<9", (0, 0)),
        ("*", None),
        ("", None),
        (5, None),
    ],
)
def test_the_oldest_node_is_read_from_what_a_package_states(
    stated: object, oldest: tuple[int, int] | None
) -> None:
    package = json.dumps({"engines": {"node": stated}}).encode()
    assert oldest_versions.versions_in({"package.json": package})[""].get("node") == oldest


@pytest.mark.parametrize(
    ("queries", "edition"),
    [
        (["chrome >= 92", "firefox 90-120", "ios_saf 15.4"], 2022),
        (["last 2 chrome versions", "not dead"], 2022),
        ("> 0.5%, last 2 versions, not ie 11", 2016),
        ({"production": ["edge 16"], "development": ["last 1 chrome version"]}, 2016),
        (["chrome 30"], 2015),
        (["defaults", "ie 11"], 2009),
        (["not ie 11"], None),
    ],
)
def test_the_oldest_browser_decides_which_edition_a_fix_may_write(
    queries: object, edition: int | None
) -> None:
    package = json.dumps({"browserslist": queries}).encode()
    found = oldest_versions.versions_in({"a/package.json": package, "go.mod": b"module a\n\ngo 1.18\n"})
    expected = {"go": (1, 18)} | ({"browsers": (edition, 0)} if edition else {})
    assert oldest_versions.of_path("a/b/c.js", found) == expected


def test_the_library_of_typescript_is_that_of_the_configuration_or_of_those_that_it_extends() -> None:
    found = oldest_versions.versions_in(
        {
            "tsconfig.json": b'{ /* all */ "compilerOptions": {"target": "ES2022", "lib": ["dom", "es2017"]}}',
            "app/tsconfig.json": b'{"extends": "../tsconfig.json", "compilerOptions": {"strict": true,},}',
            "new/tsconfig.json": b'{"compilerOptions": {"target": "esnext"}}',
            "own/tsconfig.json": b'{"extends": "own"}',
            "bad/tsconfig.json": b"{",
            "crate/Cargo.toml": b'[package]\nname = "a"\nrust-version = "1.50"\n',
        }
    )
    assert {folder: dict(named) for folder, named in found.items() if named} == {
        "": {"typescript": (2017, 0)},
        "app": {"typescript": (2017, 0)},
        "new": {"typescript": (9999, 0)},
        "crate": {"rust": (1, 50)},
    }


def test_what_the_library_of_typescript_lacks_is_not_written(loop: Loop) -> None:
    code = "export function has(text: string): boolean {\n  return text.indexOf('a') !== -1;\n}\n"
    configuration = '{"compilerOptions": {"lib": ["%s"]}}'
    files = {"new/tsconfig.json": configuration % "es2020", "old/tsconfig.json": configuration % "es5"}
    loop.repository.commit({**files, "new/a.ts": code, "old/a.ts": code})
    assert changes(loop) == {"new/a.ts": ["return text.includes('a');"]}


def test_what_the_oldest_node_of_a_package_lacks_is_not_written(loop: Loop) -> None:
    code = "module.exports = function (text) { return text === NaN; };\n"
    packages = {
        "package.json": '{"engines": {"node": ">=18"}}',
        "old/package.json": '{"engines": {"node": ">= 0.10"}}',
    }
    loop.repository.commit(
        {**packages, "a.js": code, "old/a.js": code, "old/lib/a.js": code, "old/lib/package.json": "{}"}
    )
    assert changes(loop) == {"a.js": ["module.exports = function (text) { return Number.isNaN(text); };"]}
