"""Which file an import means."""

import pytest

from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.resolution import Resolver


def targets(
    paths: list[str],
    source: str,
    language: str,
    module: str,
    *names: str,
    level: int = 0,
    kind: str = "import",
    manifests: dict[str, bytes] | None = None,
) -> list[str]:
    fact = ImportFact(0, 1, module, list(names), level, kind, [])
    return list(Resolver([*paths, *(manifests or {})], manifests or {}).resolve(source, language, fact))


PYTHON = [
    "app/__init__.py",
    "app/a.py",
    "app/sub/__init__.py",
    "app/sub/b.py",
    "tool.py",
    "scripts/x.py",
    "scripts/y.py",
    "src/lib/__init__.py",
    "src/lib/c.py",
]


@pytest.mark.parametrize(
    ("source", "module", "names", "level", "expected"),
    [
        ("app/a.py", "app.sub.b", [], 0, ["app/sub/b.py"]),
        ("app/a.py", "app", ["sub"], 0, ["app/sub/__init__.py"]),
        ("app/a.py", "app.sub", ["b", "CONSTANT"], 0, ["app/sub/b.py", "app/sub/__init__.py"]),
        ("app/a.py", "", ["sub"], 1, ["app/sub/__init__.py"]),
        ("app/sub/b.py", "a", ["f"], 2, ["app/a.py"]),
        ("app/sub/b.py", "", ["a"], 2, ["app/a.py"]),
        ("scripts/x.py", "y", [], 0, ["scripts/y.py"]),
        ("app/a.py", "lib.c", [], 0, ["src/lib/c.py"]),
        ("app/a.py", "os.path", [], 0, []),
        ("app/a.py", "", ["x"], 9, []),
    ],
)
def test_python(source: str, module: str, names: list[str], level: int, expected: list[str]) -> None:
    assert targets(PYTHON, source, "Python", module, *names, level=level, kind="from") == expected


def test_scripts_by_path_index_alias_base_and_workspace_package() -> None:
    paths = [
        "src/a.ts",
        "src/b/index.tsx",
        "src/c.js",
        "packages/ui/src/index.ts",
        "packages/ui/src/button.ts",
    ]
    manifests = {
        "tsconfig.json": b'{ // c\n "compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["src/*"],}}}',
        "packages/ui/package.json": b'{"name": "@org/ui", "main": "src/index.ts"}',
    }

    def of(module: str) -> list[str]:
        return targets(paths, "src/a.ts", "TypeScript", module, manifests=manifests)

    assert of("./b") == ["src/b/index.tsx"]
    assert of("./c.js") == ["src/c.js"]
    assert of("@/c") == ["src/c.js"]
    assert of("src/b") == ["src/b/index.tsx"]
    assert of("@org/ui") == ["packages/ui/src/index.ts"]
    assert of("@org/ui/button") == ["packages/ui/src/button.ts"]
    assert of("react") == of("../../../etc/passwd") == []


def test_scripts_follow_the_nearest_configuration_and_what_a_package_exports() -> None:
    paths = [
        "apps/one/src/util/a.ts",
        "apps/two/source/util/a.ts",
        "apps/two/shared/b.ts",
        "packages/ui/src/index.ts",
        "packages/ui/src/icons/star.ts",
        "packages/ui/src/testing.ts",
    ]
    manifests = {
        "apps/one/tsconfig.json": b'{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}',
        "apps/two/tsconfig.json": b'{"extends": "../../tsconfig.base.json", "compilerOptions": {"paths": {"@/*": ["./source/*"]}}}',
        "packages/ui/package.json": b"""{"name": "ui", "exports": {
            ".": {"types": "./dist/index.d.ts", "default": "./dist/index.js"},
            "./icons/*": "./dist/icons/*.js",
            "./test": {"import": {"default": "./dist/esm/testing.js"}}}}""",
    }

    def of(source: str, module: str) -> list[str]:
        return targets(paths, source, "TypeScript", module, manifests=manifests)

    assert of("apps/one/src/main.ts", "@/util/a") == ["apps/one/src/util/a.ts"]
    assert of("apps/two/source/main.ts", "@/util/a") == ["apps/two/source/util/a.ts"]
    assert of("packages/ui/src/index.ts", "@/util/a") == []
    assert of("apps/one/src/main.ts", "ui") == ["packages/ui/src/index.ts"]
    assert of("apps/one/src/main.ts", "ui/icons/star") == ["packages/ui/src/icons/star.ts"]
    assert of("apps/one/src/main.ts", "ui/test") == ["packages/ui/src/testing.ts"]
    assert of("apps/one/src/main.ts", "ui/icons/moon") == []


def test_go_packages_are_their_files_without_tests() -> None:
    paths = ["util/a.go", "util/b.go", "util/a_test.go", "main.go", "sub/x/y.go"]
    manifests = {"go.mod": b"module example.com/app\n", "sub/go.mod": b"module example.com/sub\n"}

    def of(module: str) -> list[str]:
        return targets(paths, "main.go", "Go", module, manifests=manifests)

    assert of("example.com/app/util") == ["util/a.go", "util/b.go"]
    assert of("example.com/sub/x") == ["sub/x/y.go"]
    assert of("fmt") == []


def test_rust_modules_and_crates() -> None:
    paths = [
        "src/lib.rs",
        "src/net/mod.rs",
        "src/net/tcp.rs",
        "src/util.rs",
        "other/src/lib.rs",
        "other/src/x.rs",
    ]
    manifests = {
        "Cargo.toml": b'[package]\nname = "app"\n',
        "other/Cargo.toml": b'[package]\nname = "o-ther"\n',
    }

    def of(source: str, module: str, kind: str = "use") -> list[str]:
        return targets(paths, source, "Rust", module, kind=kind, manifests=manifests)

    assert of("src/lib.rs", "net", "mod") == ["src/net/mod.rs"]
    assert of("src/net/mod.rs", "tcp", "mod") == ["src/net/tcp.rs"]
    assert of("src/net/tcp.rs", "crate::util::f") == ["src/util.rs"]
    assert of("src/net/tcp.rs", "super::super::util") == ["src/util.rs"]
    assert of("src/lib.rs", "o_ther::x::Y") == ["other/src/x.rs"]
    assert of("src/lib.rs", "std::fmt") == []


def test_includes_beside_and_by_the_only_path_that_ends_so() -> None:
    paths = ["src/a.c", "src/a.h", "include/lib/b.h", "x/dup.h", "y/dup.h", "src/deep/z.c"]
    assert targets(paths, "src/a.c", "C", "a.h", kind="include") == ["src/a.h"]
    assert targets(paths, "src/a.c", "C", "lib/b.h", kind="include_system") == ["include/lib/b.h"]
    assert targets(paths, "src/a.c", "C", "dup.h", kind="include") == []
    assert targets(paths, "x/q.c", "C", "dup.h", kind="include") == ["x/dup.h"]
    assert targets(paths, "src/a.c", "C", "stdio.h", kind="include_system") == []


def test_ruby_and_shell() -> None:
    paths = [
        "lib/app/store.rb",
        "lib/app/util.rb",
        "bin/run.sh",
        "bin/lib.sh",
    ]
    assert targets(paths, "x.rb", "Ruby", "app/store", kind="require") == ["lib/app/store.rb"]
    assert targets(paths, "lib/app/store.rb", "Ruby", "util", kind="require_relative") == ["lib/app/util.rb"]
    assert targets(paths, "bin/run.sh", "Shell", "./lib.sh", kind="source") == ["bin/lib.sh"]
    assert targets(paths, "bin/run.sh", "Shell", "$DIR/lib.sh", kind="source") == ["bin/lib.sh"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"name": 3}', b"[" * 100_000, b'"x"'])
def test_a_broken_manifest_says_nothing_and_stops_nothing(content: bytes) -> None:
    for name in ("go.mod", "package.json", "tsconfig.json", "Cargo.toml"):
        Resolver(["a.ts", name], {name: content})
