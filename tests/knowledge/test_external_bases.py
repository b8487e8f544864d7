"""What inherits from, implements, embeds or takes in a type that the repository does not define, in each language."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.declarations import qualified_bases_of
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from tests.ingestion.conftest import GitRepository, Ingested

# A file, and questions about it with the lines that show the answer.
FILES: dict[str, tuple[str, dict[str, list[int]]]] = {
    "a.rb": (
        "class Oven\n  include Rack::Utils\n  extend Forwardable\n  prepend Other::Thing\nend\nclass Cold < StandardError; end\n"
        "class Hot < Foo::Error # why\nend\nclass Burnt < Foo::Error\nend\nmodule Warm\n  include Enumerable\nend\n"
        "class Till\n  include Other::Utils\nend\n",
        {
            "which class includes Rack::Utils?": [1, 2],
            "what includes Enumerable?": [11, 12],
            "what extends Forwardable?": [1, 3],
            "what prepends Other::Thing?": [1, 4],
            "what inherits from StandardError?": [6],
            "subclasses of Foo::Error": [7, 9],
        },
    ),
    "a.py": (
        "from pydantic import BaseModel\nclass A(BaseModel): pass\nclass B(Exception): pass\nclass C(Iterator[int]):\n    pass\n",
        {"subclasses of BaseModel": [2], "what extends Exception?": [3], "what implements Iterator?": [4]},
    ),
    "A.java": (
        "class A extends Exception { }\nclass B implements Iterator<String>, Closeable { }\nenum E implements Runnable { X; }\n",
        {"what extends Exception?": [1], "what implements Closeable?": [2], "what implements Runnable?": [3]},
    ),
    "a.kt": (
        'class A : Exception("x") { }\nclass B<T>(val a: T) : Iterator<T>, Closeable {}\n',
        {"what extends Exception?": [1], "what implements Closeable?": [2]},
    ),
    "a.ts": (
        "class A extends Error { }\nclass B<T> extends EventEmitter<T> implements Iterable<T> { }\nconst D = class extends Error {}\n",
        {"what extends Error?": [1, 3], "what implements Iterable?": [2], "what extends EventEmitter?": [2]},
    ),
    "a.js": ("class A extends Error { }\n", {"what extends Error?": [1]}),
    "a.go": (
        "package a\n\ntype A struct {\n\tsync.Mutex\n\t*http.Client\n}\ntype B interface {\n\tio.Reader\n}\ntype C struct {\n\tmy.Mutex\n}\n",
        {"what embeds sync.Mutex?": [4], "what embeds http.Client?": [5], "what embeds io.Reader?": [8]},
    ),
    "a.rs": (
        "struct A;\nimpl Display for A { }\n#[derive(Debug, Clone)]\nstruct B<T>(T);\nimpl<T> Iterator for B<T> { }\n",
        {
            "what implements Display?": [2],
            "which types implement Iterator?": [5],
            "which types derive Debug?": [3],
        },
    ),
    "a.cpp": (
        "class A : public std::exception { };\nstruct B final : private Base<int>, public virtual ns::Other { };\n",
        {"what extends std::exception?": [1], "what inherits from Other?": [2]},
    ),
    "a.cs": (
        "class A : Exception { }\nclass B<T> : IEnumerable<T>, IDisposable where T : new() { }\n",
        {"what extends Exception?": [1], "what implements IDisposable?": [2]},
    ),
    "a.php": (
        "<?php\nclass A extends \\Exception { }\nclass B implements Countable {\n    use LoggerAwareTrait;\n}\n",
        {
            "what extends Exception?": [2],
            "what implements Countable?": [3],
            "which classes include LoggerAwareTrait?": [3, 4],
        },
    ),
    "a.swift": (
        "class A: NSObject { }\nstruct B: Codable { }\nextension B: Equatable { }\n",
        {"what inherits from NSObject?": [1], "which types conform to Equatable?": [3]},
    ),
}
# Signatures of Ruby, and the bases that they name.
RUBY = {
    "class A < B::C end": ["B.C"],
    "class A < B; end": ["B"],
    "class A < ::B; attr :x": ["B"],
    "class A < Struct.new(:a) end": ["Struct"],
    "class A; attr :x; end": [],
}


@pytest.mark.parametrize("path", FILES)
def test_types_that_inherit_from_others_are_found(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, questions = FILES[path]
    repository.commit({path: content})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for question, lines in questions.items():
            answer = answers.answer(connection, snapshot, question)
            assert answer.understood.kind == "subclasses", (question, answer.words)
            assert sorted({item.line or 0 for item in answer.evidence}) == lines, (question, answer.words)
        assert (
            answers.answer(connection, snapshot, "what inherits from Nothing?").understood.kind == NOT_KNOWN
        )


def test_bases_of_ruby_end_with_their_names() -> None:
    assert {signature: qualified_bases_of("class", "A", signature) for signature in RUBY} == RUBY


def test_a_name_with_scopes_is_not_that_of_others(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {
        "a.py": "from rack import Utils\n\n\nclass A(Utils): pass\n",
        "b.py": "from other import Utils\n\n\nclass B(Utils): pass\n",
        "c.py": "import other\n\n\nclass C(other.Utils): pass\n",
        "d.py": "class D(Utils): pass\n",
    }
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.answer(
            connection, current_snapshot(connection, "project"), "subclasses of rack.Utils"
        )
    assert "1 type inherits from rack.Utils, which the repository does not define: A (a.py:4)" in answer.words
    assert "D (d.py:1) may" in answer.words
    assert "b.py" not in answer.words
    assert "c.py" not in answer.words


PLUGIN = "module Shop\n  module Plugins\n    module HotOven\n      def heat\n      end\n    end\n  end\nend\n"
APP = "class App < Shop\n  plugin :hot_oven, heat: 1\n  plugin :hot_oven_door\n  # plugin :hot_oven\n  x.plugin(:other, :hot_oven)\nend\n"


def test_a_plugin_is_used_where_its_name_is_loaded(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {
        "lib/shop/plugins/hot_oven.rb": PLUGIN,
        "app.rb": APP,
        "lib/shop/plugins/cool.rb": "def self.load_dependencies(app)\n  app.load_plugin :hot_oven\nend\n",
        "lib/shop/hot_oven.rb": PLUGIN,
    }
    repository.commit(files)
    ingested(repository)
    lines = {("app.rb", 2), ("app.rb", 5), ("lib/shop/plugins/cool.rb", 2)}
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for question in (
            "what depends on lib/shop/plugins/hot_oven.rb?",
            "what breaks if I change lib/shop/plugins/hot_oven.rb?",
            "where is lib/shop/plugins/hot_oven.rb:HotOven used?",
        ):
            answer = answers.answer(connection, snapshot, question)
            assert "3 lines load it as a plugin" in answer.words, (question, answer.words)
            assert lines <= {(item.path, item.line) for item in answer.evidence}
        other = answers.answer(connection, snapshot, "what depends on lib/shop/hot_oven.rb?")
        assert "plugin" not in other.words
