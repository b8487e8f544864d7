"""What files and folders are for, by what they say to people: not to tools, and by the files that stand for folders."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index, magic_comments
from tests.ingestion.conftest import GitRepository, Ingested

# Words of comments without their marks, and what they say to people.
WORDS = {
    "frozen_string_literal: true": "",
    "-*- encoding: utf-8 -*- Bakes.": "Bakes.",
    "/usr/bin/env ruby frozen_string_literal: true Bakes bread.": "Bakes bread.",
    "/bin/sh -e": "",
    "coding: utf-8 Bakes.": "Bakes.",
    "eslint-disable no-empty, unicorn/no-null Bakes bread.": "Bakes bread.",
    "@ts-check Bakes.": "Bakes.",
    "Bakes. noqa: E501, F401 type: ignore[arg-type] pragma: no cover Cools.": "Bakes. Cools.",
    "go:build (darwin || linux) && !tiny Package oven bakes.": "Package oven bakes.",
    "swift-tools-version:6.1": "",
    'IWYU pragma: private, include "a/b.hpp" Bakes.': "Bakes.",
    "rubocop:disable Metrics/LineLength, Style/Foo": "",
    "===---===// This source file is part of Oven Copyright (c) 2020 SPDX-License-Identifier: MIT ===---===// Bakes.": "Bakes.",
    "Licensed to A under one or more agreements. See the limitations under the License. Bakes.": "Bakes.",
    "Reads what has the encoding: utf-8, or another.": "Reads what has the encoding: utf-8, or another.",
    "1.0": "1.0",
}


@pytest.mark.parametrize("words", WORDS)
def test_comments_for_tools_are_no_documentation(words: str) -> None:
    assert magic_comments.without(words) == WORDS[words]


CASCADE = """\
# frozen_string_literal: true

module Rack
  # Tries several apps.
  class Cascade
    # The state of one.
    class State
    end
  end
end
"""
FILES = {
    "lib/rack/cascade.rb": CASCADE,
    "lib/rack/other.rb": "# encoding: utf-8\nmodule Rack\n  # Does the rest.\n  module Rest\n  end\nend\n",
    "java/io/package-info.java": "/**\n * Reads and writes loaves.\n */\npackage io;\n",
    "java/io/A.java": "package io;\n\nclass A {}\n",
    "oven/doc.go": "//go:build !tiny\n\n// Package oven bakes.\npackage oven\n",
    "oven/a.go": "package oven\n",
    "docs/index.md": "# Guide\n\nHow to bake.\n",
    "docs/a.md": "# A\n",
    "src/heat/mod.rs": "//! Heats the oven.\n\nuse std::fmt;\n\npub fn heat() {}\n",
    "src/heat/a.rs": "pub fn a() {}\n",
    "web/oven.js": "// @ts-check\n/* eslint-disable no-empty */\nexport const bake = () => 1\n",
    "COPYING": "Copyright (c) 2020 The bakers.\n",
}
# A question, words of the answer, and a place that shows it.
QUESTIONS = [
    ("what is lib/rack/cascade.rb for?", "cascade.rb: Tries several apps.", ("lib/rack/cascade.rb", 5)),
    ("what is lib/rack/other.rb for?", "other.rb: Does the rest.", ("lib/rack/other.rb", 4)),
    ("what is java/io for?", "Reads and writes loaves.", ("java/io/package-info.java", 1)),
    ("what is oven for?", "oven/doc.go: Package oven bakes.", ("oven/doc.go", 1)),
    ("what is docs for?", "How to bake.", ("docs/index.md", 1)),
    ("what is src/heat for?", "Heats the oven.", ("src/heat/mod.rs", 1)),
    ("what is web/oven.js for?", "web/oven.js has no documentation of its own", ("web/oven.js", 1)),
]


def test_purposes_are_what_is_said_to_people(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    with engine.connect() as connection:
        for question, words, place in QUESTIONS:
            answer = answers.answer(connection, snapshot, question)
            assert words in answer.words
            assert place in {(evidence.path, evidence.line) for evidence in answer.evidence}, question
