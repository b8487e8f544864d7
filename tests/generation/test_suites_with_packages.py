"""Suites with packages: the tests of a project run with what it needs, and decide.

Nothing here needs a network: the index is a folder of wheels (pip), of modules (go) or of crates (cargo), or a server
on this machine (npm), that the operator's own settings name.
"""

import base64
import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.markers import default_environment
from sqlalchemy import Engine

from qflow_dagster import sandbox
from qflow_dagster.generation import environments, patches
from qflow_dagster.generation.environments import Environments, cache
from qflow_dagster.generation.environments.protocol import Manifests
from qflow_dagster.generation.environments.python_requirements import PythonRequirements
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository, Ingested


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
    assert (
        PythonRequirements(
            manifests, {name: str(value) for name, value in default_environment().items()}
        ).wanted
        == {}
    )


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


class Registry(BaseHTTPRequestHandler):
    """A registry of npm with one package."""

    archive = b""

    def do_GET(self) -> None:
        address = f"http://{self.headers['Host']}/prices.tgz"
        about = {
            "name": "prices",
            "version": "1.0.0",
            "dist": {"tarball": address, "integrity": self.digest()},
        }
        package = {"name": "prices", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": about}}
        content = self.archive if self.path.endswith(".tgz") else json.dumps(package).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    @classmethod
    def digest(cls) -> str:
        return f"sha512-{base64.b64encode(hashlib.sha512(cls.archive).digest()).decode()}"


def archive_of(files: dict[str, str]) -> bytes:
    """Return a package of npm with these files."""
    with io.BytesIO() as content:
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name, text in files.items():
                about = tarfile.TarInfo(f"package/{name}")
                about.size = len(text.encode())
                archive.addfile(about, io.BytesIO(text.encode()))
        return content.getvalue()


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
def test_the_packages_of_a_node_project_are_there_and_their_scripts_did_not_run(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {"name": "prices", "version": "1.0.0", "scripts": {"postinstall": f"touch {tmp_path}/ran"}}
    Registry.archive = archive_of({"package.json": json.dumps(manifest), "index.js": "exports.PRICE = 3;\n"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "cache"))
    stated = {"dependencies": {"prices": "1.0.0"}, "scripts": {"test": "node --test"}}
    entry = {"version": "1.0.0", "resolved": "https://example.com/a.tgz", "integrity": Registry.digest()}
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": stated["dependencies"]}}}
    lock["packages"]["node_modules/prices"] = entry
    files = {
        "package.json": json.dumps(stated),
        "package-lock.json": json.dumps(lock),
        "shop.test.js": "const { PRICE } = require('prices');\n"
        "require('node:test')('costs', () => require('node:assert').equal(PRICE, 3));\n",
    }
    try:
        snapshot = project.commit(files)
        suite = project.suite(snapshot)
        base = suite.base()
    finally:
        server.shutdown()
        server.server_close()
    made = project.environments(snapshot).of("node")
    assert made.evidence == "1 packages of npm from package-lock.json, their scripts not run"
    assert base.tests == {"::costs": "passed"}
    assert not (tmp_path / "ran").exists()
