"""Environments: what a repository's tests need, read as hostile text, downloaded, and seen in the sandbox.

Nothing here needs a network: the index is a folder of wheels (pip), of modules (go) or of crates (cargo) that the
operator's own settings name.
"""

import base64
import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from qflow_dagster import sandbox
from qflow_dagster.generation import environments, patches
from qflow_dagster.generation.environments import Environments, cache, fetching, node, rust
from qflow_dagster.generation.environments.protocol import Manifests, NotAvailableError
from qflow_dagster.generation.environments.python_metadata import metadata
from qflow_dagster.generation.environments.python_requirements import PythonRequirements, poetry_versions
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository, Ingested

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


# What follows runs: a repository, its snapshot, packages of a folder, the sandbox.


class Project:
    """A repository that is ingested, and its environments."""

    def __init__(self, engine: Engine, repository: GitRepository, ingested: Ingested) -> None:
        self.engine, self.repository, self.ingested = engine, repository, ingested

    def commit(self, files: dict[str, str | bytes]) -> Snapshot:
        self.repository.commit(files)
        self.ingested(self.repository)
        with self.engine.connect() as connection:
            self.objects = repositories.find(connection, "project").objects
            return current_snapshot(connection, "project")

    def environments(self, snapshot: Snapshot) -> Environments:
        return Environments(self.engine, self.objects, snapshot)

    def suite(self, snapshot: Snapshot) -> Suite:
        return Suite(self.engine, self.objects, snapshot)


@pytest.fixture
def project(
    engine: Engine, repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.setenv("QFLOW_GENERATION_FETCH_PACKAGES", "true")
    settings.cache_clear()
    if sandbox.available() == "none":
        pytest.skip("nothing isolates here")
    return Project(engine, repository, ingested)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a wheel into the index, which is a folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def put(name: str, version: str = "1.0", requires: str = "", **files: str) -> None:
        info = f"{name}-{version}.dist-info"
        texts = {
            **{path.replace("__", "/") + ".py": text for path, text in files.items()},
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in (*texts, f"{info}/RECORD"))
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in {**texts, f"{info}/RECORD": record}.items():
                wheel.writestr(path, text)

    return put


# The part of pytest that is used here: what it finds, it calls, and reports.
PYTEST = """
import pathlib, runpy, sys
report = next(a.split("=", 1)[1] for a in sys.argv if a.startswith("--junitxml="))
lines, failed = [], 0
for path in sorted(pathlib.Path().glob("test_*.py")):
    for name, test in runpy.run_path(str(path)).items():
        if name.startswith("test_"):
            try: test(); outcome = ""
            except Exception as error: outcome = "<failure/>"; failed = 1; print(name, repr(error))
            lines.append(f'<testcase classname="{path.stem}" name="{name}">{outcome}</testcase>')
pathlib.Path(report).write_text(f"<testsuite>{''.join(lines)}</testsuite>")
sys.exit(failed)
"""
SHOP = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "2.5"\ndependencies = ["prices"]\n',
    "src/shop.py": "import prices\n\ndef total():\n    return prices.PRICE + 1\n",
    "test_shop.py": "import importlib.metadata, os, prices, shop\n\ndef test_total():\n    assert shop.total() == 4\n\n"
    "def test_version():\n    assert importlib.metadata.version('shop') == '2.5'\n\n"
    "def test_packages_are_only_read():\n    assert not os.access(prices.__file__, os.W_OK)\n",
}


def test_the_tests_of_a_project_with_dependencies_run_and_decide(
    project: Project, wheels: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels("pytest", pytest____main__=PYTEST)
    # With the name of a module of the standard library: that one stays what it is.
    wheels("prices", requires="Requires-Dist: json\n", prices="import json\nPRICE = json.loads('3')\n")
    wheels("json", json="raise SystemExit('the wrong json')\n")
    # Of the repository, nothing but its tests runs, and that inside.
    mark = "import pathlib; pathlib.Path('/tmp/qflow-ran-outside').touch()\n"
    outside = Path("/tmp/qflow-ran-outside")
    outside.unlink(missing_ok=True)
    hostile = {
        "sitecustomize.py": mark,
        "setup.py": mark,
        "evil.pth": mark,
        "pip.conf": "[global]\nno-index = 0\n",
    }
    snapshot = project.commit(
        {**SHOP, **hostile, "requirements-dev.txt": "nowhere-to-be-had\n-e .\n-i http://e.com\n"}
    )
    suite = project.suite(snapshot)
    gates = []
    for after in ("prices.PRICE  + 1", "prices.PRICE + 2"):
        content = SHOP["src/shop.py"].replace("prices.PRICE + 1", after)
        patch = patches.make(project.objects, snapshot.commit_oid, {"src/shop.py": content.encode()})
        gates.append(suite.check(patch))
    assert [gate.verdict for gate in gates] == ["passed", "failed"]
    assert "3 tests" in gates[0].evidence
    assert "3 packages for Python" in gates[0].evidence
    assert "no wheel for: nowhere-to-be-had" in gates[0].evidence
    assert "not followed: -i http://e.com in requirements-dev.txt" in gates[0].evidence
    assert "test_shop::test_total" in gates[1].evidence
    assert not outside.exists()
    # Kept: the index may be gone.
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert project.environments(snapshot).of("python").key


def test_without_the_setting_nothing_is_fetched_and_the_gate_says_so(
    project: Project, wheels: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().generation, "fetch_packages", False)
    snapshot = project.commit({**SHOP, "test_shop.py": "import no_such_module\n"})
    content = SHOP["src/shop.py"] + "\n"
    patch = patches.make(project.objects, snapshot.commit_oid, {"src/shop.py": content.encode()})
    gate = project.suite(snapshot).check(patch)
    assert gate.verdict == "skipped"
    assert environments.OFF in gate.evidence
    assert not (settings().home / cache.FOLDER).exists()


def test_what_cannot_be_had_is_a_reason_and_is_not_tried_again(
    project: Project, wheels: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = project.commit({**SHOP, "package.json": '{"dependencies": {"a": "1"}}'})
    made = project.environments(snapshot)
    wheels("pytest", requires="Requires-Dist: missing\n")
    assert "no packages for python: python" in made.of("python").evidence
    assert "missing" in made.of("python").evidence
    wheels("missing")
    wheels("prices")
    assert made.of("python").key == ""
    assert project.environments(snapshot).of("python").key


def test_a_manifest_that_is_too_large_or_a_link_is_not_read(
    project: Project, wheels: Callable[..., None]
) -> None:
    repository = project.repository
    repository.write(
        {"requirements.txt": b"# " + b"x" * 20_000_000 + b"\na\n", "setup.cfg": "", "secret": "a\n"}
    )
    (repository.path / "requirements-dev.txt").symlink_to("/etc/passwd")
    (repository.path / "pyproject.toml").symlink_to("secret")
    manifests_of = project.commit({"x.py": ""})
    manifests = Manifests(project.engine, project.objects, manifests_of)
    assert manifests.text("requirements.txt") == ""
    assert PythonRequirements(manifests, MARKERS).wanted == {}


@pytest.mark.skipif(shutil.which("go") is None, reason="no go here")
def test_the_modules_of_a_go_project_are_there(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "example.com/prices"
    versions = tmp_path / "proxy" / module / "@v"
    versions.mkdir(parents=True)
    (versions / "list").write_text("v1.0.0\n")
    (versions / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (versions / "v1.0.0.mod").write_text(f"module {module}\n")
    with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as archive:
        archive.writestr(f"{module}@v1.0.0/go.mod", f"module {module}\n")
        archive.writestr(f"{module}@v1.0.0/prices.go", "package prices\n\nconst Price = 3\n")

    def digest(name: str, content: bytes) -> str:
        return f"{hashlib.sha256(content).hexdigest()}  {name}\n"

    lines = "".join(
        digest(f"{module}@v1.0.0/{name}", content)
        for name, content in (
            ("go.mod", f"module {module}\n".encode()),
            ("prices.go", b"package prices\n\nconst Price = 3\n"),
        )
    )
    whole = base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
    manifest = base64.b64encode(
        hashlib.sha256(digest("go.mod", f"module {module}\n".encode()).encode()).digest()
    )
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'},direct")
    monkeypatch.setenv("GOSUMDB", "off")
    snapshot = project.commit(
        {
            "go.mod": f"module example.com/shop\n\ngo 1.19\n\nrequire {module} v1.0.0\n",
            "go.sum": f"{module} v1.0.0 h1:{whole}\n{module} v1.0.0/go.mod h1:{manifest.decode()}\n",
            "shop_test.go": f'package shop\n\nimport (\n\t"testing"\n\n\t"{module}"\n)\n\nfunc TestPrice(t *testing.T) {{\n'
            "\tif prices.Price != 3 {\n\t\tt.Fail()\n\t}\n}\n",
        }
    )
    suite = project.suite(snapshot)
    assert project.environments(snapshot).of("go").evidence == "1 modules from go.mod"
    assert suite.base().tests == {"TestPrice": "passed"}


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo here")
def test_the_crates_of_a_rust_project_are_there(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crate = tmp_path / "crates" / "prices-1.0.0"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text('[package]\nname = "prices"\nversion = "1.0.0"\nedition = "2021"\n')
    (crate / "src/lib.rs").write_text("pub const PRICE: u32 = 3;\n")
    (crate / ".cargo-checksum.json").write_text('{"files": {}, "package": null}')
    home = tmp_path / "cargo"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "own"\n[source.own]\ndirectory = "{tmp_path / "crates"}"\n'
    )
    monkeypatch.setenv("CARGO_HOME", str(home))
    snapshot = project.commit(
        {
            "Cargo.toml": '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\nbuild = "build.rs"\n'
            '[dependencies]\nprices = "1"\n',
            "build.rs": 'fn main() { println!("{}", std::env::var("OUT_DIR").unwrap()); }\n',
            "src/lib.rs": "#[test]\nfn price() {\n    assert_eq!(prices::PRICE, 3);\n}\n",
        }
    )
    environment = project.environments(snapshot).of("rust")
    assert environment.evidence == "1 crates from Cargo.toml, the newest that fit"
    assert project.suite(snapshot).base().tests["price"] == "passed"
