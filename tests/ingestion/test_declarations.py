"""Imports resolve by what files declare, wherever the files are and however they are named."""

import pytest

from benchmarks.import_resolution import declared
from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.module_manifests import is_manifest
from qflow_dagster.ingestion.resolution import Resolver


def resolved(language: str, sources: dict[str, str], importer: str) -> dict[str, list[str]]:
    """The targets of each import of a source that is read beside the others, by module."""
    facts = {path: extract(source.encode(), language) for path, source in sources.items()}
    files = [declared(path, file) for path, file in facts.items()]
    resolver = Resolver([*sources, "app/main"], {}, files)
    imports = extract(importer.encode(), language).imports
    return {fact.module: list(resolver.resolve("app/main", language, fact)) for fact in imports}


CASES = [
    (
        "Elixir",
        {
            "lib/http.ex": "defmodule My.HTTPServer do\n  defmodule Socket do\n  end\nend\n",
            "lib/b.ex": "defmodule My.B do\n  def f, do: 1\nend\ndefmodule My.C do\nend\n",
        },
        "defmodule X do\n  alias My.HTTPServer.Socket\n  import My.C\n  use GenServer\n  alias My.{B, HTTPServer}\nend\n",
        {
            "My.HTTPServer.Socket": ["lib/http.ex"],
            "My.C": ["lib/b.ex"],
            "GenServer": [],
            "My.B": ["lib/b.ex"],
            "My.HTTPServer": ["lib/http.ex"],
        },
    ),
    (
        "C#",
        {
            "A/One.cs": "namespace Acme.Core;\nclass One {}\n",
            "B/Two.cs": "namespace Acme {\n  namespace Core {\n    class Two {}\n  }\n}\n",
            "C/Three.cs": "namespace Acme.Util { public static class Three { } }\n",
        },
        "using System;\nusing Acme.Core;\nusing static Acme.Util.Three;\nusing T = Acme.Core.Two;\nclass M {}\n",
        {
            "System": [],
            "Acme.Core": ["A/One.cs", "B/Two.cs"],
            "Acme.Util.Three": ["C/Three.cs"],
            "Acme.Core.Two": ["B/Two.cs"],
        },
    ),
    (
        "PHP",
        {
            "inc/model.php": "<?php\nnamespace App\\Models;\nclass User {}\nfunction find() {}\n",
            "inc/only.php": "<?php\nnamespace App\\Consts;\nconst LIMIT = 3;\n",
        },
        "<?php\nuse App\\Models\\User;\nuse function App\\Models\\find;\nuse const App\\Consts\\LIMIT;\nuse Psr\\Log;\n",
        {
            "App\\Models\\User": ["inc/model.php"],
            "App\\Models\\find": ["inc/model.php"],
            "App\\Consts\\LIMIT": ["inc/only.php"],
            "Psr\\Log": [],
        },
    ),
    (
        "Java",
        {
            "core/src/com/a/Store.java": "package com.a;\npublic class Store { static class Inner {} }\nclass Helper {}\n",
            "odd/Reader.java": "package com.a;\nclass Reader {}\n",
        },
        "import com.a.Store;\nimport com.a.Store.Inner;\nimport com.a.Helper;\nimport static com.a.Store.open;\n"
        "import com.a.*;\nimport java.util.List;\nclass M {}\n",
        {
            "com.a.Store": ["core/src/com/a/Store.java"],
            "com.a.Store.Inner": ["core/src/com/a/Store.java"],
            "com.a.Helper": ["core/src/com/a/Store.java"],
            "com.a.Store.open": ["core/src/com/a/Store.java"],
            "com.a.*": ["core/src/com/a/Store.java", "odd/Reader.java"],
            "java.util.List": [],
        },
    ),
    (
        "Kotlin",
        {
            "src/commonMain/kotlin/Utils.kt": "package okio.internal\n\nfun String.hash(): Int = 1\nobject Registry\n",
            "src/Top.kt": "package okio\n\nval LIMIT = 3\n",
        },
        "import okio.internal.hash\nimport okio.internal.Registry\nimport okio.LIMIT\nimport kotlin.math.max\n",
        {
            "okio.internal.hash": ["src/commonMain/kotlin/Utils.kt"],
            "okio.internal.Registry": ["src/commonMain/kotlin/Utils.kt"],
            "okio.LIMIT": ["src/Top.kt"],
            "kotlin.math.max": [],
        },
    ),
    (
        "Scala",
        {
            "a/Functor.scala": "package cats\npackage data\n\ntrait Functor\nobject Functor\n",
            "a/package.scala": "package object cats {\n  type Id[A] = A\n}\n",
            "a/Show.scala": "package cats\n\nclass Show\n",
        },
        "import cats.data.Functor\nimport cats.Id\nimport cats.{Show, Eq}\nimport scala.util.Try\n",
        {
            "cats.data.Functor": ["a/Functor.scala"],
            "cats.Id": ["a/package.scala"],
            "cats": ["a/Show.scala", "a/package.scala"],
            "scala.util.Try": [],
        },
    ),
    (
        "Swift",
        {"Sources/Core/A.swift": "struct A {}\n", "Sources/Core/deep/B.swift": "", "Sources/App/C.swift": ""},
        "import Core\n@testable import App\nimport Foundation\nimport struct Core.A\n",
        {
            "Core": ["Sources/Core/A.swift", "Sources/Core/deep/B.swift"],
            "App": ["Sources/App/C.swift"],
            "Foundation": [],
            "Core.A": ["Sources/Core/A.swift", "Sources/Core/deep/B.swift"],
        },
    ),
]


@pytest.mark.parametrize(
    ("language", "sources", "importer", "expected"), CASES, ids=[case[0] for case in CASES]
)
def test_an_import_refers_to_what_declares_it(
    language: str, sources: dict[str, str], importer: str, expected: dict[str, list[str]]
) -> None:
    assert resolved(language, sources, importer) == expected


def test_of_files_that_declare_the_same_name_the_nearest_are_meant() -> None:
    sources = {"app/a.ex": "defmodule Same do\nend\n", "lib/a.ex": "defmodule Same do\nend\n"}
    assert resolved("Elixir", sources, "alias Same\n") == {"Same": ["app/a.ex"]}
    sources = {"other/a.ex": sources["app/a.ex"], "lib/a.ex": sources["lib/a.ex"]}
    assert resolved("Elixir", sources, "alias Same\n") == {"Same": ["other/a.ex", "lib/a.ex"]}


LAYOUTS = {
    "TSX, types that the router makes of a module, and an application with the name of what it tries": (
        "TSX",
        {
            "app/package.json": '{"name": "form", "private": true}',
            "package.json": '{"name": "form", "exports": {".": {"types": "./dist/index.d.ts"}}}',
            "src/index.ts": "",
            "routes/home.tsx": "",
        },
        {
            "routes/other.tsx": ('import type { Route } from "./+types/home";\n', "routes/home.tsx"),
            "app/main.tsx": ('import { useForm } from "form";\n', "src/index.ts"),
        },
    ),
    "Rust, the root of a crate as its manifest says": (
        "Rust",
        {
            "core/Cargo.toml": '[package]\nname = "my-core"\n[lib]\npath = "src/lib/core.rs"\n',
            "core/src/lib/core.rs": "mod mods;\npub use crate::mods::error;\n",
            "core/src/lib/mods/mod.rs": "pub mod error;\n",
            "core/src/lib/mods/error.rs": "pub struct Oops;\n",
            "core/src/lib/macros.rs": "#[macro_export]\nmacro_rules! show { () => {} }\n",
        },
        {
            "core/src/lib/mods/error.rs": ("use crate::mods::error::Oops;\n", "core/src/lib/mods/error.rs"),
            "core/src/lib/core.rs": ("mod mods;\n", "core/src/lib/mods/mod.rs"),
            "core/src/lib/mods/mod.rs": ("use super::Missing;\n", "core/src/lib/core.rs"),
            "app/main.rs": ("use my_core::error::Oops;\n", "core/src/lib/mods/error.rs"),
            "app/a.rs": ("use my_core::show;\n", "core/src/lib/macros.rs"),
            "app/b.rs": ("use my_core::other;\n", "core/src/lib/core.rs"),
            "app/c.rs": ("#[macro_use]\nextern crate my_core as core;\n", "core/src/lib/core.rs"),
            "app/core.rs": ("extern crate main;\n", None),
        },
    ),
    "Rust, modules inside a file and at a path": (
        "Rust",
        {"Cargo.toml": '[package]\nname = "a"\n', "src/lib.rs": "", "src/b.rs": "", "tests/unit/c.rs": ""},
        {
            "src/b.rs": ("mod tests {\n    use super::*;\n}\n", "src/b.rs"),
            "src/c.rs": ("mod tests {\n    use super::super::b;\n}\n", "src/b.rs"),
            "tests/all.rs": ('#[cfg(unix)]\n#[path = "unit/c.rs"]\nmod c;\n', "tests/unit/c.rs"),
            "src/lib.rs": ("mod missing;\n", None),
        },
    ),
    "Swift, a target at a path": (
        "Swift",
        {
            "Package.swift": 'targets: [.target(name: "Net", dependencies: [.target(name: "Base")], path: "Source"),\n'
            '.target(name: "Base"), .testTarget(name: "my-tests", dependencies: ["Net"])]',
            "Source/Session.swift": "",
            "Sources/Base/Base.swift": "",
            "Tests/my-tests/Tests.swift": "",
        },
        {
            "a.swift": ("@testable import Net\n", "Source/Session.swift"),
            "b.swift": ("import Base\n", "Sources/Base/Base.swift"),
            "c.swift": ("import my_tests\n", "Tests/my-tests/Tests.swift"),
            "d.swift": ("import Foundation\n", None),
        },
    ),
    "C, a header made from a template": (
        "C",
        {
            "include/lib/config.h.in": "",
            "cmake/port.h.cmake": "",
            "include/lib/api.h": "",
            "include/api.h.in": "",
        },
        {
            "a.c": ('#include "lib/config.h"\n', "include/lib/config.h.in"),
            "b.c": ('#include "port.h"\n', "cmake/port.h.cmake"),
            "c.c": ('#include "api.h"\n', "include/lib/api.h"),
            "d.c": ("#include <stdio.h>\n", None),
        },
    ),
    "Shell, a path after a variable or beside the script": (
        "Shell",
        {"lib/core/common.sh": "", "bin/help.sh": "", "lib/help.sh": ""},
        {
            "a": ('source "$ROOT/$LIB/core/common.sh" --quiet\n', "lib/core/common.sh"),
            "bin/b": ('. "$(dirname "$0")/help.sh"\n', "bin/help.sh"),
            "bin/c": ('. "${BASH_SOURCE%/*}/../lib/help.sh"\n', "lib/help.sh"),
            "bin/d": (". ./help.sh\n", "bin/help.sh"),
            "e": ('. "$DIR/help.sh"\n', None),
            "bin/i": ('. "$DIR"/../libexec/help.sh\n', "bin/help.sh"),
            "j": ('. "$DIR/../libexec/common.sh"\n', "lib/core/common.sh"),
            "deep/g": ("source common.sh\nsource help.sh\n", None),
            "deep/h": ("source core/common.sh\n", "lib/core/common.sh"),
            "f": ('. "$1"\n', None),
        },
    ),
    "PHP, a namespace": (
        "PHP",
        {"src/Handler/Curl.php": "<?php\nnamespace App\\Handler;\nclass Curl {}\n"},
        {
            "a.php": ("<?php\nuse App\\Handler;\n", "src/Handler/Curl.php"),
            "b.php": ("<?php\nuse App\\Promise;\n", None),
            "c.php": ("<?php\nuse App\\Handler\\Other;\n", None),
        },
    ),
}


@pytest.mark.parametrize(("language", "files", "imports"), LAYOUTS.values(), ids=LAYOUTS)
def test_an_import_refers_to_the_file_where_the_language_looks_for_it(
    language: str, files: dict[str, str], imports: dict[str, tuple[str, str | None]]
) -> None:
    manifests = {path: text.encode() for path, text in files.items() if is_manifest(path)}
    sources = {
        path: extract(text.encode(), language) for path, text in files.items() if path not in manifests
    }
    resolver = Resolver({*files, *imports}, manifests, [declared(*item) for item in sources.items()])
    for path, (text, target) in imports.items():
        fact = extract(text.encode(), language).imports[-1]
        assert resolver.targets(path, language, fact) == ((target,) if target else ()), path


def test_constants_and_aliases_at_the_top_level_are_declared() -> None:
    kotlin = "package a\n\nval LIMIT = 3\nval String.size2: Int get() = 1\ntypealias Id = Int\nclass C { val inner = 1 }\n"
    sources = {"src/A.kt": kotlin, "src/B.kt": "package a\n\nfun f() {}\n"}
    importer = "import a.LIMIT\nimport a.size2\nimport a.Id\nimport a.inner\n"
    declared_here = ["src/A.kt"]
    expected = {"a.LIMIT": declared_here, "a.size2": declared_here, "a.Id": declared_here, "a.inner": []}
    assert resolved("Kotlin", sources, importer) == expected
