"""Environments: what a repository's tests need, read as hostile text, and kept.

That tests run with it is tried in `test_suites_with_packages.py`.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from qflow_dagster.generation import environments
from qflow_dagster.generation.environments import cache, fetching, node, rust
from qflow_dagster.generation.environments.protocol import Manifests, NotAvailableError
from qflow_dagster.generation.environments.python_metadata import metadata
from qflow_dagster.generation.environments.python_requirements import PythonRequirements, poetry_versions
from qflow_dagster.settings import settings

# An option of pip that names an index.
INDEX = "--index-" + "url"
MARKERS = {
    "python_version": "3.11",
    "python_full_version": "3.11.2",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "implementation_version": "3.11.2",
    "platform_release": "",
    "platform_version": "",
}


class Text(Manifests):
    """Manifests that are given as text."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("__", "/"): text for name, text in files.items()}
        self.paths = dict.fromkeys(self.files, "")

    def texts(self, paths, *, limit=400_000):
        return {
            path: self.files[path] for path in paths if len(self.files.get(path, " " * limit * 2)) <= limit
        }

    def nearest_tag(self) -> str:
        return "v1.4.0"


def python(files: Mapping[str, str]) -> PythonRequirements:
    manifests = Text()
    manifests.files = dict(files)
    manifests.paths = dict.fromkeys(files, "")
    return PythonRequirements(manifests, MARKERS)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            {
                "pyproject.toml": '[project]\nname = "shop"\ndependencies = ["a>=1", "old; python_version < \'3\'"]\n'
                '[project.optional-dependencies]\ntest = ["b[x]~=2.0", "shop[more]"]\nmore = ["c"]\ndocs = ["d"]\n'
            },
            {"a>=1", "b[x]~=2.0", "c"},
        ),
        (
            {
                "pyproject.toml": '[dependency-groups]\ntests = ["a", {include-group = "Common"}]\n'
                'common = ["b", {include-group = "tests"}]\nlint = ["c"]\n'
            },
            {"a", "b"},
        ),
        (
            {
                "setup.cfg": "[options]\ninstall_requires =\n  a\n  b>2\n[options.extras_require]\ntesting =\n  c\n"
            },
            {"a", "b>2", "c"},
        ),
        (
            {
                "pyproject.toml": '[tool.poetry]\nname = "shop"\n[tool.poetry.dependencies]\npython = "^3.9"\na = "^1.2"\n'
                '[tool.poetry.group.dev.dependencies]\nb = {version = "*", extras = ["x"]}\nc = {git = "https://e.com"}\n'
            },
            {"a<2,>=1.2", "b[x]"},
        ),
        (
            {
                "requirements/tests.txt": "a==1 \\\n  --hash=sha256:00\n-r more/other.in\n",
                "requirements/more/other.in": "b # why\n",
                "docs/requirements.txt": "c\n",
            },
            {"a==1", "b"},
        ),
        (
            {"tox.ini": "[testenv]\ndeps =\n  a\n  py27: b\n  -r{toxinidir}/c.txt\n", "c.txt": "c\n"},
            {"a", "c"},
        ),
        ({"Pipfile.lock": json.dumps({"develop": {"a": {"version": "==1.0"}, "b": {"git": "x"}}})}, {"a"}),
    ],
    ids=["extras", "groups", "setup.cfg", "poetry", "requirements", "tox", "pipfile"],
)
def test_requirements_are_read_from_what_projects_use(files: dict[str, str], wanted: set[str]) -> None:
    assert set(python(files).wanted) == wanted


def test_versions_of_a_lock_file_are_kept_where_there_is_one_version() -> None:
    package = '[[package]]\nname = "{}"\nversion = "{}"\n'
    lock = package.format("a", "1.0") + package.format("b", "1") + package.format("b", "2")
    assert python({"uv.lock": lock + package.format("c", f"1\\n{INDEX}")}).pins == {"a": "1.0"}


@pytest.mark.parametrize(
    "hostile",
    [
        f"{INDEX} https://evil.example/simple",
        "-i https://evil.example/simple",
        "--find-links /etc",
        "-e git+https://evil.example/x.git#egg=x",
        "-r ../../etc/passwd",
        "-r /etc/passwd",
        "x @ file:///etc/passwd",
        "x @ https://evil.example/x.whl",
        "git+ssh://evil.example/x",
        "./local",
        "/etc/passwd",
        "x --config-settings=a=b",
        "x; python_version > '3' and (" * 100,
        "x" * 10_000,
        "x\x00y",
        f"x==1 \u2028{INDEX}=https://evil.example",
    ],
)
def test_what_is_not_a_plain_requirement_is_not_followed_but_named(hostile: str) -> None:
    read = python({"requirements.txt": f"good\n{hostile}\n"})
    assert set(read.wanted) - {"x==1"} == {"good"}
    assert read.not_followed


def test_a_marker_with_a_line_break_brings_no_option_into_the_file_of_pip() -> None:
    project = f'dependencies = ["x; python_version > \\"2\\n{INDEX} https://evil.example\\""]'
    read = python({"pyproject.toml": f'[project]\nname = "p"\n{project}\n'})
    assert not any("\n" in line for line in read.wanted)


def test_manifests_that_are_no_manifests_name_nothing() -> None:
    for text in ("[" * 100_000, "\x00", "a = " * 1_000, "[project]\ndependencies = 3\nname = []\n"):
        files = dict.fromkeys(("pyproject.toml", "setup.cfg", "tox.ini", "Pipfile.lock", "uv.lock"), text)
        assert python(files).wanted == {}


def test_constraints_of_poetry_become_standard_ones() -> None:
    stated = ["^1.2.3", "^0.2.3", "~1.2", "~1", "*", "1.4", ">=1,<3", "2.*"]
    assert [poetry_versions(each) for each in stated] == [
        ">=1.2.3,<2",
        ">=0.2.3,<0.3",
        ">=1.2,<1.3",
        ">=1,<2",
        "",
        "==1.4",
        ">=1,<3",
        "==2.*",
    ]


def test_the_project_has_metadata_though_it_is_not_built() -> None:
    manifests = Text()
    manifests.files = {
        "pyproject.toml": '[project]\nname = "My.Shop"\ndynamic = ["version"]\ndescription = "a\\nEvil: b"\n'
        '[project.scripts]\nshop = "shop:main"\n[project.entry-points."pytest11"]\nshop = "shop.plugin"\n'
    }
    manifests.paths = dict.fromkeys(manifests.files, "")
    files = metadata(manifests, PythonRequirements(manifests, MARKERS))
    assert "Summary: a Evil: b\n" in files["my_shop-1.4.0.dist-info/METADATA"]
    assert "[pytest11]\nshop = shop.plugin\n" in files["my_shop-1.4.0.dist-info/entry_points.txt"]


def packages(**entry: object) -> dict:
    whole = {
        "version": "1.0.0",
        "resolved": "https://registry.example/a/-/a-1.0.0.tgz",
        "integrity": "sha512-x",
    }
    return {"packages": {"": {}, "node_modules/a": {**whole, **entry}}}


@pytest.mark.parametrize(
    "lock",
    [
        packages(resolved="http://registry.example/a.tgz"),
        packages(resolved="file:../a.tgz"),
        packages(resolved="git+ssh://git@github.com/a/a.git#0"),
        packages(resolved=3),
        packages(integrity=None),
        packages(link=True),
        packages(version="git+ssh://git@evil.example/a.git"),
        packages(name="a@file:/etc"),
        {"packages": {"node_modules/../../a": packages()["packages"]["node_modules/a"]}},
        {"packages": {"packages/a": packages()["packages"]["node_modules/a"]}},
        {"packages": {"node_modules/a": 3}},
    ],
)
def test_a_lock_file_that_names_anything_but_the_registry_is_refused(lock: dict) -> None:
    node.check_lock(packages())
    with pytest.raises(NotAvailableError, match=r"package-lock\.json: "):
        node.check_lock(lock)


@pytest.mark.parametrize(
    ("module", "files", "reason"),
    [
        (
            node,
            {"package.json": '{"dependencies": {"a": "github:evil/a"}}'},
            "a: github:evil/a is not a version",
        ),
        (node, {"package.json": '{"dependencies": {"a": "file:/etc"}}'}, "a: file:/etc is not a version"),
        (
            node,
            {"package.json": '{"devDependencies": {"a": "1"}, "overrides": {"b": {".": "http://e"}}}'},
            "http://e",
        ),
        (node, {"package.json": '{"workspaces": ["a"]}'}, "workspaces"),
        (
            rust,
            {"Cargo.toml": '[dependencies]\na = {git = "https://e"}\n'},
            "a is not a crate of the registry",
        ),
        (rust, {"Cargo.toml": '[target.x.dependencies]\na = {path = "../../a"}\n'}, "a is not a crate"),
        (rust, {"Cargo.toml": '[workspace]\nmembers = ["/etc"]\n'}, "outside of the repository"),
        (
            rust,
            {"Cargo.toml": '[dependencies]\na = "1"\n', "Cargo.lock": 'source = "git+https://e"\n'},
            "a crate comes from git",
        ),
        (
            environments.go,
            {"go.mod": "module m\nrequire example.com/a v1.0.0\nreplace example.com/a => ../a\n"},
            "outside of the repository",
        ),
    ],
)
def test_addresses_and_paths_in_manifests_are_refused(module, files: dict[str, str], reason: str) -> None:
    manifests = Text()
    manifests.files, manifests.paths = files, dict.fromkeys(files, "")
    with pytest.raises(NotAvailableError, match=reason):
        module.environment(manifests, cache.Cache())


def test_a_client_gets_no_secret_of_ours_and_its_end_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_MODEL_KEY", "PLANTED")
    monkeypatch.setenv("PGPASSWORD", "PLANTED")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    printed = fetching.fetch(["env"], tmp_path, into=tmp_path)
    assert "PLANTED" not in printed
    assert "PIP_FIND_LINKS=/wheels" in printed
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    with pytest.raises(fetching.FetchError, match="took more than"):
        fetching.fetch(["sh", "-c", "sleep 60 & sleep 60"], tmp_path, into=tmp_path)
    with pytest.raises(fetching.FetchError, match="needs no-such-client"):
        fetching.fetch(["no-such-client"], tmp_path, into=tmp_path)


def test_an_environment_is_made_once_and_the_oldest_unused_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "home", tmp_path)
    monkeypatch.setattr(cache, "MAX_KEPT", 2)
    made: list[str] = []

    def make(folder: Path) -> dict:
        made.append(folder.name)
        return {}

    used = cache.Cache()
    kept = used.kept("first", make)
    assert used.kept("first", make) == kept
    assert len(made) == 1
    for name in ("second", "third", "fourth"):
        cache.Cache().kept(name, make)
        time.sleep(0.01)
    assert {path.name for path in (tmp_path / "environments").glob("[!.]*")} == {"first", "fourth"}

    def fail(folder: Path) -> dict:
        raise NotAvailableError("no")

    with pytest.raises(NotAvailableError):
        used.kept("fifth", fail)
    assert not list((tmp_path / "environments").glob("*.new-*")) + list(
        (tmp_path / "environments").glob("fifth")
    )
