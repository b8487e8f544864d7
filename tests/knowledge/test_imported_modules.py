"""What depends on a module that is imported, and is no file of the repository under its name."""

import pytest

from tests.knowledge.test_uses import Ask, ask, ingested, make_repository, repository

__all__ = ["ask", "ingested", "make_repository", "repository"]

# A file whose line 3 imports a module of others, and the name of that.
EXTERNAL = {
    "a.py": ("import os\n\nfrom ovenlib.parts import heat\n", "ovenlib.parts"),
    "a.go": ('package a\n\nimport "example.com/ovenlib/parts"\n', "ovenlib/parts"),
    "a.rs": ("// Bakes.\n\nuse ovenlib::parts::heat;\n", "ovenlib::parts"),
    "a.ts": ("// Bakes.\n\nimport { heat } from '@oven/lib'\n", "@oven/lib"),
    "a.js": ("// Bakes.\n\nconst heat = require('oven-lib/parts')\n", "oven-lib"),
    "A.java": ("package a;\n\nimport org.ovenlib.parts.Heat;\n\nclass A {}\n", "org.ovenlib"),
    "a.cs": ("// Bakes.\n\nusing OvenLib.Parts;\n\nclass A {}\n", "OvenLib.Parts"),
    "a.cpp": ("// Bakes.\n\n#include <ovenlib/parts.h>\n", "ovenlib/parts.h"),
    "a.c": ("// Bakes.\n\n#include <oven_parts.h>\n", "oven_parts.h"),
    "a.rb": ("# Bakes.\n\nrequire 'ovenlib/parts'\n", "ovenlib/parts"),
    "a.php": ("<?php\n\nuse OvenLib\\Parts\\Heat;\n", "OvenLib\\Parts"),
    "a.kt": ("package a\n\nimport org.ovenlib.parts.Heat\n", "org.ovenlib.parts"),
    "a.swift": ("// Bakes.\n\nimport OvenLib\n", "OvenLib"),
}


@pytest.mark.parametrize("path", EXTERNAL)
def test_what_imports_a_module_of_others_is_named(path: str, ask: Ask) -> None:
    content, module = EXTERNAL[path]
    answer = ask({path: content}, f"which files import {module}?")
    assert answer.understood.kind == "dependents"
    assert f"1 file imports {module}, which is no file of the repository: {path}:3" in answer.words
    assert [(item.path, item.line) for item in answer.evidence] == [(path, 3)]


def test_a_module_is_not_the_header_that_has_its_name(ask: Ask) -> None:
    files = {
        "Package.swift": "// swift-tools-version:5.7\n",
        "Sources/COven/include/COven.h": "int heat(void);\n",
        "Sources/Shop/Shop.swift": "import COven\n\nfunc bake() {}\n",
    }
    answer = ask(files, "which files import COven?")
    assert "1 file imports COven, a module with the name of the folder Sources/COven" in answer.words
    assert ("Sources/Shop/Shop.swift", 1) in {(item.path, item.line) for item in answer.evidence}


def test_a_file_is_named_as_its_module(ask: Ask) -> None:
    files = {
        "lib/shop/oven/parts.rb": "module Shop\nend\n",
        "lib/shop.rb": "require 'shop/oven/parts'\n",
    }
    assert (
        "1 file imports lib/shop/oven/parts.rb: lib/shop.rb" in ask(files, "what imports oven/parts?").words
    )
    files = {"inn/desk.py": "X = 1\n", "use.py": "from inn.desk import X\n"}
    assert "1 file imports inn/desk.py: use.py" in ask(files, "what imports inn.desk?").words


def test_imports_of_a_namespace_name_what_it_has(ask: Ask) -> None:
    files = {
        "Parts.cs": "namespace Shop.Parts;\n\npublic class Door {}\n",
        "Heat.cs": "namespace Shop.Parts;\n\npublic class Heat {}\n",
        "Use.cs": "using Shop.Parts;\n\nclass Use { Door door; Heat heat; }\n",
    }
    answer = ask(files, "which files import Shop.Parts?")
    assert "1 file imports Shop.Parts, a module or namespace with Heat.cs, Parts.cs: Use.cs:1" in answer.words
    assert answer.limits


def test_imports_of_others_with_the_name_of_a_file_are_said(ask: Ask) -> None:
    files = {
        "src/oven.ts": "export const heat = 1\n",
        "src/use.ts": "import { heat } from './oven'\n",
        "src/other.ts": "import { cool } from 'oven'\n",
    }
    answer = ask(files, "what depends on oven?")
    assert "src/use.ts" in answer.words
    assert any("src/other.ts:1" in limit for limit in answer.limits)


def test_a_change_of_a_module_of_others_affects_what_imports_it(ask: Ask) -> None:
    answer = ask({"a.py": "import oven_lib\n"}, "what breaks if I change oven_lib?")
    assert answer.understood.kind == "affected"
    assert "1 file imports oven_lib, which is no file of the repository: a.py:1" in answer.words
