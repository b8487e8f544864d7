"""Programs in several languages report an error with the SDK of their language, and it arrives whole."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from sqlalchemy import Engine, text

from qflow_dagster.infrastructure import error_analysis, error_records
from tests.web.conftest import serving

NODE_MODULES = Path(".venv/node/lib/node_modules").absolute()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
GO_PACKAGES = Path("/usr/share/gocode")
SECONDS = 60

PYTHON = """
import sentry_sdk
sentry_sdk.init(DSN, release="shop@1.2.0", environment="test", default_integrations=False)
sentry_sdk.set_user({"id": "17"})
sentry_sdk.add_breadcrumb(message="card entered")
def pay():
    raise ValueError("no stock of 17")
try:
    pay()
except ValueError:
    sentry_sdk.capture_exception()
sentry_sdk.flush()
"""
NODE = """
const Sentry = require(MODULES + "/@sentry/node");
Sentry.init({dsn: DSN, release: "shop@1.2.0", environment: "test", tracesSampleRate: 0});
Sentry.setUser({id: "17"});
Sentry.addBreadcrumb({message: "card entered"});
class ValueError extends Error { constructor(message) { super(message); this.name = "ValueError"; } }
function pay() { throw new ValueError("no stock of 17"); }
try { pay(); } catch (error) { Sentry.captureException(error); }
Sentry.flush(10000).then(() => process.exit(0));
"""
RUBY = """
require "sentry-ruby"
Sentry.init do |config|
  config.dsn = DSN
  config.release = "shop@1.2.0"
  config.environment = "test"
  config.background_worker_threads = 0
  config.breadcrumbs_logger = []
end
class ValueError < StandardError; end
Sentry.set_user(id: "17")
Sentry.add_breadcrumb(Sentry::Breadcrumb.new(message: "card entered"))
def pay
  raise ValueError, "no stock of 17"
end
begin
  pay
rescue ValueError => error
  Sentry.capture_exception(error)
end
"""
RAVEN = """
require "raven"
Raven.configure do |config|
  config.dsn = DSN.sub("//key@", "//key:secret@")
  config.release = "shop@1.2.0"
  config.current_environment = "test"
  config.environments = []
end
class ValueError < StandardError; end
Raven.user_context(id: "17")
Raven.breadcrumbs.record { |crumb| crumb.message = "card entered" }
def pay
  raise ValueError, "no stock of 17"
end
begin
  pay
rescue ValueError => error
  Raven.capture_exception(error)
end
"""
GO = """
package main

import (
	"os"
	"time"

	"github.com/getsentry/sentry-go"
)

type ValueError struct{}

func (ValueError) Error() string { return "no stock of 17" }

func pay() { sentry.CaptureException(ValueError{}) }

func main() {
	sentry.Init(sentry.ClientOptions{Dsn: os.Getenv("DSN"), Release: "shop@1.2.0", Environment: "test"})
	sentry.ConfigureScope(func(scope *sentry.Scope) { scope.SetUser(sentry.User{ID: "17"}) })
	sentry.AddBreadcrumb(&sentry.Breadcrumb{Message: "card entered"})
	pay()
	sentry.Flush(10 * time.Second)
}
"""
BROWSER = """<!doctype html><script type="importmap">{"imports": IMPORTS}</script><script type="module">
import * as Sentry from "@sentry/browser";
Sentry.init({dsn: "DSN", release: "shop@1.2.0", environment: "test"});
Sentry.setUser({id: "17"});
Sentry.addBreadcrumb({message: "card entered"});
class ValueError extends Error { constructor(message) { super(message); this.name = "ValueError"; } }
function pay() { throw new ValueError("no stock of 17"); }
try { pay(); } catch (error) { Sentry.captureException(error); }
await Sentry.flush(10000);
document.title = "sent";
</script>"""


def run(command: list[str], folder: Path, **environment: str) -> None:
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def needs(found: object, what: str) -> None:
    if not found:
        pytest.skip(f"needs {what}")


def python(dsn: str, folder: Path) -> None:
    (folder / "shop.py").write_text(PYTHON.replace("DSN", repr(dsn)))
    run([sys.executable, "shop.py"], folder)


def node(dsn: str, folder: Path) -> None:
    needs(shutil.which("node"), "node")
    needs((NODE_MODULES / "@sentry/node").is_dir(), "@sentry/node (make setup-dev installs it)")
    code = NODE.replace("DSN", json.dumps(dsn)).replace("MODULES", json.dumps(str(NODE_MODULES)))
    (folder / "shop.js").write_text(code)
    run(["node", "shop.js"], folder)


def ruby(code: str, library: str, package: str, dsn: str, folder: Path) -> None:
    needs(shutil.which("ruby"), "ruby")
    has_library = subprocess.run(["ruby", "-e", f"require '{library}'"], capture_output=True, check=False)
    needs(has_library.returncode == 0, f"{library} (on Debian: apt-get install {package})")
    (folder / "shop.rb").write_text(code.replace("DSN", json.dumps(dsn), 1))
    run(["ruby", "shop.rb"], folder)


def go(dsn: str, folder: Path) -> None:
    needs(shutil.which("go"), "go")
    packages = GO_PACKAGES / "src/github.com/getsentry/sentry-go"
    needs(packages.is_dir(), "sentry-go (on Debian: apt-get install golang-github-getsentry-sentry-go-dev)")
    (folder / "shop.go").write_text(GO)
    run(["go", "run", "shop.go"], folder, DSN=dsn, GOPATH=str(GO_PACKAGES), GO111MODULE="off", GOFLAGS="")


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()


def browser(dsn: str, folder: Path, address: str) -> None:
    packages: dict[str, str] = {}
    for package in (NODE_MODULES / "@sentry/browser").glob("**/package.json"):
        described = json.loads(package.read_text())
        if "name" not in described:
            continue
        for name, condition in (described.get("exports") or {".": described.get("module")}).items():
            while isinstance(condition, dict):
                condition = condition.get("import") or condition.get("default")
            if condition and "*" not in name:
                entry = (package.parent / condition).relative_to(NODE_MODULES)
                packages.setdefault(described["name"] + name.removeprefix("."), f"/modules/{entry}")
    (folder / "index.html").write_text(BROWSER.replace("IMPORTS", json.dumps(packages)).replace("DSN", dsn))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/index.html")
        try:
            page.wait_for_function("document.title == 'sent'", timeout=SECONDS * 1_000)
        except Exception as error:
            raise AssertionError(problems) from error
        chromium.close()


PROGRAMS: dict[str, Callable[[str, Path], None]] = {
    "python": python,
    "node": node,
    "ruby": functools.partial(ruby, RUBY, "sentry-ruby", "ruby-sentry-ruby-core"),
    "raven": functools.partial(ruby, RAVEN, "raven", "ruby-sentry-raven"),
    "go": go,
}


def shown(engine: Engine) -> dict[str, Any]:
    """Analyze what arrived, which is one error, and return it."""
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
        return error_records.show(connection, group["id"])


def check(group: dict[str, Any]) -> None:
    [occurrence] = group["occurrences"]
    context, exceptions = occurrence["context"], occurrence["exceptions"]
    assert group["kind"].endswith("ValueError")
    assert group["message"].startswith("no stock of 17")
    assert (group["first_release"], context["environment"], group["users"]) == ("shop@1.2.0", "test", 1)
    assert "card entered" in [crumb.get("message") for crumb in context["breadcrumbs"]]
    functions = [frame.get("function", "") for frame in exceptions[-1]["frames"]]
    assert any(function.endswith("pay") for function in functions), functions
    assert any("pay" in frame["function"] for frame in group["frames"]), group["frames"]


@pytest.mark.parametrize("language", PROGRAMS)
def test_an_error_of_a_program_arrives_whole(
    served: str, engine: Engine, tmp_path: Path, language: str
) -> None:
    PROGRAMS[language](served.replace("//", "//key@") + "/1", tmp_path)
    check(shown(engine))


def test_an_error_of_a_page_in_a_browser_arrives_whole(
    engine: Engine, tmp_path: Path, error_settings: Callable[..., None]
) -> None:
    needs(CHROMIUM, "Chromium (on Debian: apt-get install chromium)")
    needs((NODE_MODULES / "@sentry/browser").is_dir(), "@sentry/browser (make setup-dev installs it)")
    (tmp_path / "modules").symlink_to(NODE_MODULES)
    with files_served(tmp_path) as address:
        error_settings(sentry_key="key", origins=[address])
        with serving(engine) as served:
            browser(served.replace("//", "//key@") + "/1", tmp_path, address)
    check(shown(engine))


def test_the_same_error_is_one_whichever_way_it_is_sent(served: str, engine: Engine, tmp_path: Path) -> None:
    """The SDK's frames and the printed trace of the same error say the same."""
    for _ in range(2):
        python(served.replace("//", "//key@") + "/1", tmp_path)
    assert shown(engine)["count"] == 2
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM error_occurrences")) == 2
