"""Toolchains in the home of whoever runs us: found, readable, and nothing beside them."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from qflow_dagster.sandbox import Limits, run
from tests.sandbox.conftest import Run

GENEROUS = Limits(240, 8 * 1024**3, 256)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that only its owner may enter, with toolchains and secrets in it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    programs = {
        ".cargo/bin/tool-rust",
        ".pyenv/shims/tool-pyenv",
        ".nvm/versions/node/v22.1.0/bin/tool-node",
        ".rustup/toolchains/stable/bin/tool-rustc",
    }
    for name in programs:
        path = home / name
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho {path.name} ran\n")
        path.chmod(0o755)
    (home / ".cargo/registry/src").mkdir(parents=True)
    (home / ".cargo/registry/src/crate").write_text("crate")
    (home / ".m2/repository").mkdir(parents=True)
    (home / ".m2/repository/jar").write_text("jar")
    for name in (
        ".cargo/credentials.toml",
        ".cargo/config.toml",
        ".npmrc",
        ".m2/settings.xml",
        ".ssh/id",
        ".pyenv/secret",
        ".bashrc",
    ):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("PLANTED")
    monkeypatch.setenv("HOME", str(home))
    for name in ("RUSTUP_HOME", "CARGO_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_they_are_found_where_they_usually_are(kind: str, home: Path, shell: Run) -> None:
    done = shell(
        "tool-rust; tool-pyenv; tool-node; ~/.rustup/toolchains/stable/bin/tool-rustc; cat ~/.cargo/registry/src/crate ~/.m2/repository/jar"
    )
    assert done.output == "tool-rust ran\ntool-pyenv ran\ntool-node ran\ntool-rustc ran\ncratejar"
    assert (shell("echo x > ~/.cargo/lock; cat ~/.cargo/lock").output) == "x\n"


def test_nothing_beside_them_is_there(kind: str, home: Path, shell: Run) -> None:
    done = shell(f"grep -r PLANTED {home} ~ 2>/dev/null; ls -A {home} {home}/.cargo ~/.cargo; true")
    assert "PLANTED" not in done.output
    assert "credentials" not in done.output
    done = shell(f"echo x > {home}/.cargo/bin/tool-rust; touch {home}/x {home}/.cargo/x; true")
    assert (home / ".cargo/bin/tool-rust").read_text() != "x\n"


def test_programs_are_found_in_the_order_of_whoever_runs_us(
    kind: str, home: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".pyenv/shims/tool-rust").write_text("#!/bin/sh\necho the first\n")
    (home / ".pyenv/shims/tool-rust").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}/.pyenv/shims:{home}/private:{os.environ['PATH']}")
    assert shell("tool-rust").output == "the first\n"
    assert str(home / "private") not in shell("echo $PATH").output


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo here")
def test_the_tests_of_a_rust_project_run(kind: str, folder: Path) -> None:
    (folder / "Cargo.toml").write_text('[package]\nname = "sup"\nversion = "0.1.0"\nedition = "2021"\n')
    (folder / "src").mkdir()
    (folder / "src/lib.rs").write_text(
        "pub fn is_empty(p: &str) -> bool {\n    std::fs::metadata(p).unwrap().len() == 0\n}\n\n"
        '#[test]\nfn t() {\n    assert!(!is_empty("Cargo.toml"));\n}\n'
    )
    done = run(["cargo", "test", "--offline", "--no-fail-fast"], folder, limits=GENEROUS)
    assert "test t ... ok" in done.output
    assert done.code == 0


@pytest.mark.skipif(shutil.which("go") is None, reason="no go here")
def test_the_tests_of_a_go_module_run_with_what_was_fetched_before(
    kind: str, folder: Path, home: Path
) -> None:
    fetched = home / "go/pkg/mod/cache/download/example.com/add/@v"
    fetched.mkdir(parents=True)
    module = "module example.com/add\n\ngo 1.17\n"
    (fetched / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (fetched / "v1.0.0.mod").write_text(module)
    with zipfile.ZipFile(fetched / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.com/add@v1.0.0/go.mod", module)
        archive.writestr(
            "example.com/add@v1.0.0/add.go", "package add\n\nfunc One(n int) int { return n + 1 }\n"
        )
    (folder / "go.mod").write_text("module p\n\ngo 1.17\n\nrequire example.com/add v1.0.0\n")
    (folder / "p_test.go").write_text(
        'package p\n\nimport (\n\t"testing"\n\n\t"example.com/add"\n)\n\n'
        "func TestOne(t *testing.T) {\n\tif add.One(1) != 2 {\n\t\tt.Fail()\n\t}\n}\n"
    )
    done = run(
        ["env", "GONOSUMDB=*", "GOFLAGS=-modcacherw -mod=mod", "go", "test", "./..."], folder, limits=GENEROUS
    )
    assert done.code == 0, done.output
    assert not (home / "go/pkg/mod/example.com").exists()


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
def test_the_tests_of_a_node_project_run(kind: str, folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "n", "scripts": {"test": "node --test"}}')
    (folder / "n.test.js").write_text(
        "const test = require('node:test'); const assert = require('node:assert');\n"
        "const { Worker } = require('node:worker_threads'); const { execFileSync } = require('node:child_process');\n"
        "test('adds', async () => {\n  assert.equal(String(execFileSync('echo', ['x'])), 'x\\n');\n"
        "  await new Promise(done => new Worker('', { eval: true }).on('exit', done));\n});\n"
    )
    done = run(["npm", "test", "--silent"], folder, limits=Limits(120, 64 * 1024**3, 256))
    assert done.code == 0, done.output


def test_the_tests_of_a_python_project_run(kind: str, folder: Path) -> None:
    (folder / "test_p.py").write_text(
        "import unittest, subprocess, sys\n\nclass T(unittest.TestCase):\n    def test_t(self):\n"
        "        self.assertEqual(subprocess.check_output([sys.executable, '-c', 'print(1)']), b'1\\n')\n"
    )
    done = run(["python3", "-m", "unittest", "-v"], folder, limits=GENEROUS)
    assert done.code == 0, done.output
