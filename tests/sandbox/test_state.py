"""Our own state is never visible inside, wherever it lies."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from qflow_dagster.errors import UsageError
from qflow_dagster.sandbox import view
from tests.ordinary_user import USER, run_as_ordinary_user
from tests.sandbox.conftest import Run

LOOK = """
import os, socket, sys
for base in sys.argv[1:] or {bases!r}:
    try: print("listed", os.listdir(base))
    except OSError as error: print(type(error).__name__)
    for name in ("secret.key", "pg/secret.key"):
        try: print(open(base + "/" + name).read())
        except OSError: pass
    for name in ("pg/.s.PGSQL.5432", ".s.PGSQL.5432"):
        connection = socket.socket(socket.AF_UNIX)
        try: connection.connect(base + "/" + name); print("connected")
        except OSError: pass
"""


def writable(base: str) -> bool:
    return os.access(base, os.W_OK)


@pytest.fixture(params=["/opt", "/usr/local", "/usr/lib", "/usr/share", "further"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the system with a neighbour, and one below it for the state."""
    if request.param == "further":
        base = Path(tempfile.mkdtemp(prefix="qflow-"))
        monkeypatch.setattr(view, "SYSTEM", (*view.SYSTEM, str(base)))
    elif not writable(request.param):
        pytest.skip(f"{request.param} may not be written")
    else:
        base = Path(request.param)
    made = base / f"qflow-test-{uuid4().hex[:8]}"
    (made / "q" / "pg").mkdir(parents=True)
    (made / "beside").mkdir()
    (made / "beside" / "tool").write_text("a tool\n")
    (made / "q" / "secret.key").write_text("SECRET")
    yield made
    shutil.rmtree(base if request.param == "further" else made, ignore_errors=True)


@pytest.fixture
def listening(system: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(system / "q/pg/.s.PGSQL.5432"))
        server.listen()
        yield system / "q"


def seen(python: Run, *bases: Path) -> str:
    done = python(LOOK.format(bases=[str(base) for base in bases]))
    assert done.code == 0, done.output
    return done.output


def test_the_state_folder_and_its_socket_are_not_there(
    kind: str, python: Run, listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_HOME", str(listening))
    assert seen(python, listening, listening / "pg") == "FileNotFoundError\n" * 2
    neighbour = listening.parent / "beside" / "tool"
    assert python(f"print(open({str(neighbour)!r}).read())").output.startswith("a tool")


@pytest.mark.parametrize("variable", ["QFLOW_DATABASE_URL", "QFLOW_DAGSTER_URL", "PGHOST", "DAGSTER_HOME"])
def test_nor_is_what_else_leads_to_the_database(
    kind: str, python: Run, listening: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = listening / "pg"
    address = f"postgresql://a:b@/q?host={folder}" if variable.endswith("URL") else str(folder)
    monkeypatch.setenv(variable, address)
    assert seen(python, folder) == "FileNotFoundError\n"


def test_nor_is_it_by_a_link_or_when_its_setting_is_one(
    kind: str, python: Run, listening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = listening.parent / "link"
    link.symlink_to(listening)
    elsewhere = tmp_path / "named"
    elsewhere.symlink_to(listening)
    monkeypatch.setenv("QFLOW_HOME", str(elsewhere))
    assert seen(python, listening, link, elsewhere) == "FileNotFoundError\n" * 3


def test_a_folder_that_holds_the_state_is_refused_as_a_further_one(
    kind: str, python: Run, listening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_HOME", str(listening))
    link = tmp_path / "link"
    link.symlink_to(listening.parent)
    for path in (listening, listening.parent, listening / "pg", link, "/"):
        monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{path}"]')
        view.settings.cache_clear()
        with pytest.raises(UsageError, match="QFLOW_GENERATION_SANDBOX_PATHS names"):
            python("")


def test_what_in_opt_is_not_for_everybody_is_not_there(kind: str, python: Run) -> None:
    if not writable("/opt"):
        pytest.skip("/opt may not be written")
    private = Path("/opt") / f"qflow-test-{uuid4().hex[:8]}"
    private.mkdir()
    try:
        os.chown(private, 1, 1)
        assert seen(python, private) == "FileNotFoundError\n"
    finally:
        private.rmdir()


def test_folders_that_come_and_go_meanwhile_are_shown_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "PACKAGES", (tmp_path,))
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for number in range(20):
                (tmp_path / str(number)).mkdir()
            for number in range(20):
                (tmp_path / str(number)).rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(30):
            view.view()
    finally:
        ended.set()
        thread.join()


def test_what_deep_in_a_folder_of_the_system_is_ours_alone_is_not_there(
    kind: str, python: Run, system: Path
) -> None:
    # As root it is nobody who looks, and the modes themselves keep it out.
    deep = system / "beside" / "a" / "b"
    other = system / "beside" / "other"
    for folder in (deep, other / "pg", system / "beside" / "closed"):
        folder.mkdir(parents=True)
    (deep / "plain").write_text("for everybody")
    (deep / "token").write_text("SECRET")
    (deep / "token").chmod(0o600)
    (system / "beside" / "closed" / "token").write_text("SECRET")
    (system / "beside" / "closed").chmod(0o700)
    (other / "database.key").write_text("SECRET")
    (other / "pg" / "PG_VERSION").write_text("18")
    # One that everybody may use: file modes keep nobody out.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(deep / "s"))
        (deep / "s").chmod(0o777)
        server.listen()
        view.not_for_everybody.cache_clear()
        done = python(
            "import os, socket\n"
            f"print(open({str(deep / 'plain')!r}).read())\n"
            f"for path in {[str(deep / 'token'), str(system / 'beside/closed/token'), str(other)]!r}:\n"
            "    try: print('SEEN', os.path.isdir(path) and os.listdir(path) or open(path).read())\n"
            "    except OSError as error: pass\n"
            f"try: socket.socket(socket.AF_UNIX).connect({str(deep / 's')!r}); print('SEEN')\n"
            "except OSError: print('no socket')\n"
        )
    assert done.output == "for everybody\nno socket\n"


def test_a_toolchain_that_is_a_link_shows_no_state_where_it_leads(
    kind: str, python: Run, listening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_HOME", str(listening))
    home = tmp_path / "home"
    for name, target in (
        (".nvm", listening.parent),
        (".pyenv", listening),
        (".cargo/registry", listening.parent),
    ):
        (home / name).mkdir(parents=True)
        last = {".nvm": "versions", ".pyenv": "versions", ".cargo/registry": "src"}[name]
        (home / name / last).symlink_to(target)
    (home / ".nvm" / "alias").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("HOME", str(home))
    versions = home / ".nvm/versions"
    looked = (versions / "q", home / ".pyenv/versions", Path("/tmp/home/.cargo/registry/src/q"))
    assert seen(python, *looked) == "FileNotFoundError\n" * 3
    tool = versions / "beside/tool"
    assert python(f"print(open({str(tool)!r}).read())").output.startswith("a tool")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("mounted", ["q", "q/pg", "."])
def test_nor_is_it_there_by_another_name_that_is_a_mount(mounted: str, tmp_path: Path) -> None:
    (tmp_path / "data/q/pg").mkdir(parents=True)
    (tmp_path / "home/.nvm/versions/alias").mkdir(parents=True)
    (tmp_path / "home/.nvm/versions/node").mkdir()
    (tmp_path / "further/alias").mkdir(parents=True)
    program = (
        "import json\nfrom qflow_dagster.errors import UsageError\nfrom qflow_dagster.sandbox.view import view\n"
        "from qflow_dagster.settings import settings\n"
        "print(json.dumps([inside for _, inside in view().mounts]))\n"
        f"settings().generation.sandbox_paths.append({str(tmp_path / 'further')!r})\n"
        "try: view()\nexcept UsageError as error: print(error)\n"
    )
    aliases = [tmp_path / "home/.nvm/versions/alias", tmp_path / "further/alias"]
    script = " && ".join(f"mount --bind {tmp_path / 'data' / mounted} {alias}" for alias in aliases)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{script} && exec "$0" -c "$1"', sys.executable, program],
        env={**os.environ, "HOME": str(tmp_path / "home"), "QFLOW_HOME": str(tmp_path / "data/q")},
        capture_output=True,
        text=True,
        check=True,
    )
    mounts, refused = done.stdout.splitlines()
    assert str(tmp_path / "home/.nvm/versions/node") in mounts
    assert '.nvm/versions/alias"' not in mounts
    assert '.nvm/versions"' not in mounts
    assert "holds, or lies in, the state" in refused


@pytest.mark.parametrize("path", ["/proc", "/proc/1/root", "/sys", "/dev", "/dev/shm", "/run"])
def test_the_kernels_folders_are_refused_as_further_ones(
    kind: str, python: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{path}"]')
    with pytest.raises(UsageError, match=f"QFLOW_GENERATION_SANDBOX_PATHS names {path}"):
        python("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_further_folder_that_cannot_be_read_is_named(
    kind: str, python: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{tmp_path}/closed/x"]')
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        python("")


def test_a_user_without_a_home_is_told_so(kind: str, python: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(UsageError, match="set HOME"):
        python("")


def test_the_temporary_folder_below_what_is_shown_is_not_there(
    kind: str, python: Run, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = system / "beside" / "tmp"
    temporary.mkdir()
    (temporary / "secret.key").write_text("SECRET")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert seen(python, temporary) == "FileNotFoundError\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes packages of the system")
@pytest.mark.parametrize("base", ["/opt", "/usr/local/lib", "/usr/share"])
def test_what_an_ordinary_user_keeps_in_a_package_of_roots_is_not_there(base: str) -> None:
    package = Path(base) / f"qflow-test-{uuid4().hex[:8]}"
    user = pwd.getpwnam(USER)
    secrets = {package / "a/b/mine/token": 0o600, package / "a/state/database.key": 0o644}
    try:
        for path, mode in secrets.items():
            path.parent.mkdir(parents=True)
            path.write_text("SECRET")
            path.chmod(mode)
            for owned in (path, path.parent):
                os.chown(owned, user.pw_uid, user.pw_gid)
        (package / "a/tool").write_text("a tool")
        looks = (
            "import tempfile, pathlib\nfrom qflow_dagster.sandbox import Limits, supervision\n"
            "for kind in ('namespaces', 'bubblewrap'):\n"
            "    with tempfile.TemporaryDirectory() as folder:\n"
            f"        command = ['sh', '-c', 'cat {package}/a/tool; grep -r SECRET {package}; true']\n"
            "        print(supervision._run(kind, command, pathlib.Path(folder), Limits(60, 2**31, 60), '').output)\n"
        )
        if shutil.which("bwrap") is None:
            looks = looks.replace(", 'bubblewrap'", ",")
        done = run_as_ordinary_user(sys.executable, "-B", "-c", looks)
        assert set(done.stdout.split("\n")) == {"a tool", ""}, done.stdout + done.stderr
    finally:
        shutil.rmtree(package)
