"""What a path says: language, flags, and which file an import means."""

import pytest

from qflow_dagster.ingestion import classify, languages
from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.resolution import Resolver


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a.py", b"", "Python"),
        ("a.PY", b"", "Python"),
        ("dir.py/no_extension", b"", ""),
        ("Makefile", b"", "Makefile"),
        ("Dockerfile", b"", "Dockerfile"),
        ("Dockerfile.prod", b"", "Dockerfile"),
        ("Gemfile", b"", "Ruby"),
        ("a.tsx", b"", "TSX"),
        ("a.ts", b"export const x = 1", "TypeScript"),
        ("a.ts", b'<?xml version="1.0"?><!DOCTYPE TS>', "XML"),
        ("a.h", b"int f(void);", "C"),
        ("a.h", b"namespace a {\nclass B {};\n}", "C++"),
        ("a.h", b"@interface A : NSObject\n@end", "Objective-C"),
        ("a.m", b"function y = f(x)\nend", "MATLAB"),
        ("a.pl", b":- module(a, []).", "Prolog"),
        ("a.pl", b"use strict;", "Perl"),
        ("script", b"#!/usr/bin/env -S python3.11 -u\n", "Python"),
        ("script", b"#!/bin/bash\n", "Shell"),
        ("script", b"#!/usr/local/bin/node\n", "JavaScript"),
        ("script", b"# -*- mode: ruby -*-\n", "Ruby"),
        ("script", b"# vim: set ft=python:\n", "Python"),
        ("script", b"\xff\xfe\x00", ""),
        ('"\\377.py"', b"", "Python"),
    ],
)
def test_language(path: str, head: bytes, language: str) -> None:
    assert languages.detect(path, head) == language
    assert languages.needs_head(path) or languages.detect(path, b"") == language


@pytest.mark.parametrize(
    ("flag", "paths", "others"),
    [
        (
            "test",
            [
                "tests/a.py",
                "pkg/test_a.py",
                "a_test.go",
                "src/a.spec.ts",
                "src/test/java/A.java",
                "FooTest.java",
                "spec/a_spec.rb",
                "lib/__tests__/a.js",
                "conftest.py",
            ],
            ["latest/a.py", "contest.py", "src/testimonials.js", "attest.go"],
        ),
        (
            "vendored",
            ["vendor/a.go", "node_modules/x/i.js", "third_party/a.c", "static/jquery-3.1.js", "gradlew"],
            ["vendors.py", "src/react_app.py", "external_api.py"],
        ),
        (
            "generated",
            [
                "a.min.js",
                "x/y.pb.go",
                "a_pb2.py",
                "package-lock.json",
                "Cargo.lock",
                "dist/a.js",
                "A.Designer.cs",
                "yarn.lock",
            ],
            ["lock.py", "distance.py", "generate.py"],
        ),
        (
            "documentation",
            ["docs/a.md", "README.md", "LICENSE", "CHANGELOG.rst", "examples/a.py"],
            ["src/doctor.py", "license_check.py"],
        ),
    ],
)
def test_flags(flag: str, paths: list[str], others: list[str]) -> None:
    assert [p for p in paths if not getattr(classify.classify(p), flag)] == []
    assert [p for p in others if getattr(classify.classify(p), flag)] == []


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
    fact = ImportFact(0, 1, module, list(names), level, kind)
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


def test_jvm_classes_members_nested_and_wildcards() -> None:
    paths = [
        "core/src/main/java/com/a/Store.java",
        "core/src/main/java/com/a/Reader.kt",
        "x/com/b/Other.java",
    ]

    def of(module: str, kind: str = "import") -> list[str]:
        return targets(paths, "x/com/b/Other.java", "Java", module, kind=kind)

    assert of("com.a.Store") == ["core/src/main/java/com/a/Store.java"]
    assert of("com.a.Store.Inner") == ["core/src/main/java/com/a/Store.java"]
    assert of("com.a.Store.open", "import_static") == ["core/src/main/java/com/a/Store.java"]
    assert of("com.a.Store.*", "import_static") == ["core/src/main/java/com/a/Store.java"]
    assert sorted(of("com.a.*")) == sorted(paths[:2])
    assert of("java.util.List") == []


def test_includes_beside_and_by_the_only_path_that_ends_so() -> None:
    paths = ["src/a.c", "src/a.h", "include/lib/b.h", "x/dup.h", "y/dup.h", "src/deep/z.c"]
    assert targets(paths, "src/a.c", "C", "a.h", kind="include") == ["src/a.h"]
    assert targets(paths, "src/a.c", "C", "lib/b.h", kind="include_system") == ["include/lib/b.h"]
    assert targets(paths, "src/a.c", "C", "dup.h", kind="include") == []
    assert targets(paths, "x/q.c", "C", "dup.h", kind="include") == ["x/dup.h"]
    assert targets(paths, "src/a.c", "C", "stdio.h", kind="include_system") == []


def test_ruby_php_elixir_and_shell() -> None:
    paths = [
        "lib/app/store.rb",
        "lib/app/util.rb",
        "src/Models/User.php",
        "boot.php",
        "lib/my_app/http_server.ex",
        "bin/run.sh",
        "bin/lib.sh",
    ]
    manifests = {"composer.json": b'{"autoload": {"psr-4": {"App\\\\": "src/"}}}'}
    assert targets(paths, "x.rb", "Ruby", "app/store", kind="require") == ["lib/app/store.rb"]
    assert targets(paths, "lib/app/store.rb", "Ruby", "util", kind="require_relative") == ["lib/app/util.rb"]
    assert targets(paths, "x.php", "PHP", "App\\Models\\User", kind="use", manifests=manifests) == [
        "src/Models/User.php"
    ]
    assert targets(paths, "x.ex", "Elixir", "MyApp.HTTPServer", kind="alias") == ["lib/my_app/http_server.ex"]
    assert targets(paths, "bin/run.sh", "Shell", "./lib.sh", kind="source") == ["bin/lib.sh"]
    assert targets(paths, "bin/run.sh", "Shell", "$DIR/lib.sh", kind="source") == ["bin/lib.sh"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"name": 3}', b"[" * 100_000, b'"x"'])
def test_a_broken_manifest_says_nothing_and_stops_nothing(content: bytes) -> None:
    for name in ("go.mod", "package.json", "tsconfig.json", "Cargo.toml", "composer.json"):
        Resolver(["a.ts", name], {name: content})
