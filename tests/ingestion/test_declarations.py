"""Imports resolve by what files declare, wherever the files are and however they are named."""

import pytest

from benchmarks.import_resolution import declared
from qflow_dagster.ingestion.extraction import extract
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
