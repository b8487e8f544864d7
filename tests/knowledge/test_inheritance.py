"""What inherits from a type is distinguished from what inherits from others of its name."""

import re
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.declarations import qualified_bases_of
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

FILES: dict[str, str] = yaml.safe_load((Path(__file__).parent / "inheritance.yaml").read_text())

# The type that is meant, what inherits from it, and what may.
DERIVED = {
    "py/tea.py:Base": (["Green", "Blend"], ["Lost"]),
    "py/coffee.py:Base": (["Blend", "Mocha"], ["Lost"]),
    "py/local.py:Base": (["Local"], ["Lost"]),
    "Token.Tag": (["Close", "Token.Start"], []),
    "java/a/Tag.java:Tag": (["Label", "Price"], []),
    "rs/src/ink.rs:Draw": (["Pen"], []),
    "rs/src/oil.rs:Draw": (["Brush"], []),
    "ts/x.ts:Shape": (["Round"], []),
    "ts/y.ts:Shape": (["Flat"], []),
    "cpp/one.cpp:Pump": (["Water"], ["Bike"]),
    "cpp/two.cpp:Pump": (["Air"], ["Bike"]),
    "ValueError": (["TooHot"], []),
}
# Kind and signature of a declaration of A, and the bases that it names.
SIGNATURES = [
    ("class", "data class A<R>(val module: Module, val factory: Factory<R>)", []),
    (
        "class",
        "class A<T>(b: Bean<T>, val hold: Boolean = true) : Factory<T>(b), Other by o",
        ["Factory", "Other"],
    ),
    ("class", "class A<T : Any>(val f: () -> T) : B<T>()", ["B"]),
    ("class", "class A(val x: Int) : B(x)", ["B"]),
    ("class", "record A(int X, string Y)", []),
    ("class", "sealed class A(ILogger sink) : Base(sink), IThing", ["Base", "IThing"]),
    ("class", "class A(B, c.D, metaclass=M)", ["B", "c.D"]),
    ("class", "class A[T](f(x, y), Generic[T]):", ["f", "Generic"]),
    ("class", "class A < B::C", ["B.C"]),
    ("class", "class A < B::C; end", ["B.C"]),
    ("class", "A = Class.new(B::C)", ["B.C"]),
    ("type", "typedef void A(int)", []),
    ("class", "class LIB_API A : public B<C>", ["B"]),
    ("class", "class A<T extends X> extends Y<C> implements D, E<F>", ["Y", "D", "E"]),
    ("struct", "struct A<T: X>: Y where T: Z", ["Y"]),
    ("trait", "pub trait A: B + C", ["B", "C"]),
    ("class", "case class A(x: Int) extends B(x) with C", ["B", "C"]),
    ("class", "class A : public ns::B, private C<D>", ["ns.B", "C"]),
    ("impl", "impl<T> ink::Draw for A", ["ink.Draw"]),
    ("impl", "impl A", []),
]
_NAMED = re.compile(r"([\w.]+) \([\w./]+:\d+\)")


def test_the_bases_of_a_signature_are_no_parameters() -> None:
    found = {signature: qualified_bases_of(kind, "A", signature) for kind, signature, _ in SIGNATURES}
    assert found == {signature: bases for _, signature, bases in SIGNATURES}


def test_types_inherit_from_what_their_files_declare_or_import(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    answered = {}
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")

        def words(question: str) -> str:
            return answers.answer(connection, snapshot, question).words

        for name in DERIVED:
            certain, _, possible = words(f"which types inherit from {name}?").partition("; ")
            named = certain.partition(": ")[2]
            answered[name] = (sorted(_NAMED.findall(named)), sorted(_NAMED.findall(possible)))
        several = words("what inherits from Base?")
        assert "3 definitions have the name Base" in several
        assert re.search(r"py/coffee.py:1\): .*Mocha", several)
        assert "coffee.Base (py/coffee.py:1)" in words("what does Mocha inherit from?")
        assert "elsewhere" not in words("what does Foreign inherit from?")
        assert "inherits from" in words("how are Close and Token related?")
        assert "inherits from" not in words("how are Label and Token related?")
    assert answered == {
        name: (sorted(certain), sorted(possible)) for name, (certain, possible) in DERIVED.items()
    }


# Files in which types take in others in their bodies, with the lines that do so for the type that is meant.
MIXINS = {
    "PHP": (
        {
            "src/Warm.php": "<?php\nnamespace Shop;\ntrait Warm {}\n",
            "src/Bread.php": "<?php\nnamespace Shop;\n\nfinal class Bread extends Food\n{\n    use Cold, Warm;\n}\n",
            "src/Pie.php": "<?php\nnamespace Other;\n\nuse Shop\\Warm as Hot;\n\ntrait Pie {\n    use Hot { heat as bake; }\n}\n",
            "src/Tart.php": "<?php\nnamespace Other;\n\nuse Foreign\\Warm;\n\nclass Tart {\n    use Warm;\n}\n",
            "src/make.php": "<?php\nnamespace Shop;\n\nreturn new class {\n    use Warm;\n};\n",
        },
        "Warm",
        {"Bread": ("src/Bread.php", 6), "Pie": ("src/Pie.php", 7)},
    ),
    "Ruby": (
        {
            "warm.rb": "module Shop\n  module Warm\n  end\nend\n",
            "cold.rb": "module Cold\n  module Warm\n  end\n  class Ice\n    include Warm\n  end\nend\n",
            "bread.rb": "class Bread < Food\n  include Comparable, Shop::Warm\nend\n",
            "pie.rb": "module Shop\n  class Pie\n    extend(Warm)\n    def no\n      extend Warm\n    end\n  end\nend\n",
            "tart.rb": "module Shop\n  class Tart\n    class << self\n      prepend Warm\n    end\n  end\nend\n",
            "no.rb": "module Shop\n  class No\n    before { include Warm }\n    other.include(Warm)\n  end\nend\n",
        },
        "Shop::Warm",
        {"Bread": ("bread.rb", 2), "Shop.Pie": ("pie.rb", 3), "Shop.Tart": ("tart.rb", 4)},
    ),
}


@pytest.mark.parametrize("language", MIXINS)
def test_types_inherit_from_what_their_bodies_take_in(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, meant, lines = MIXINS[language]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("subclasses", meant))
        bases = answers.of(connection, snapshot, ParsedQuestion("bases", "Bread"))
    certain = re.split(r"; | and \d", answer.words.partition(": ")[2])[0]
    assert sorted(_NAMED.findall(certain)) == sorted(lines)
    assert set(lines.values()) <= {(evidence.path, evidence.line) for evidence in answer.evidence}
    assert "Food" in bases.words
    assert "Warm (" in bases.words
    assert lines["Bread"] in {(evidence.path, evidence.line) for evidence in bases.evidence}


def test_types_of_go_that_are_no_structs_implement_interfaces(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {
        "value.go": "package a\n\ntype Value interface {\n\tSet(string)\n}\n",
        "flag.go": "package a\n\ntype flag bool\n\nfunc (f *flag) Set(s string) {}\n\nvar x = flag(true)\n",
    }
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        words = [
            answers.answer(connection, snapshot, question).words
            for question in ("what implements Value?", "where is flag defined?", "who calls flag?")
        ]
    assert "these have all methods of Value (value.go:3): flag (flag.go:3)" in words[0]
    assert words[1] == "the type flag is defined in flag.go, line 3"
    assert "top level (flag.go:7)" in words[2]


# Files, the type that is meant, and what the answer says of types that inherit through others.
FURTHER = {
    "Python": (
        {
            "a.py": "class Food:\n    pass\n\n\nclass Bread(Food):\n    pass\n",
            "b.py": "from a import Bread as Loaf\n\n\nclass Rye(Loaf):\n    pass\n\n\nclass Dark(Rye):\n    pass\n",
            "c.py": "class Bread:\n    pass\n\n\nclass Toy(Bread):\n    pass\n",
        },
        "Food",
        "Bread (a.py:5); and through them: Rye (b.py:4, through Bread), Dark (b.py:8, through Rye)",
    ),
    "C#": (
        {
            "a.cs": "interface IFood { }\npartial class Bread : IFood { }\n",
            "b.cs": "partial class Bread { }\nclass Rye : Bread { }\n",
        },
        "IFood",
        "Bread (a.cs:2); and through them: Rye (b.cs:2, through Bread)",
    ),
    "Ruby": (
        {"a.rb": "module Food\nend\nclass Bread\n  include Food\nend\nclass Rye < Bread\nend\n"},
        "Food",
        "Bread (a.rb:3); and through them: Rye (a.rb:6, through Bread)",
    ),
    "Swift": (
        {"a.swift": "protocol Food {}\nclass Bread {}\nextension Bread: Food {}\nclass Rye: Bread {}\n"},
        "Food",
        "Bread (a.swift:3); and through them: Rye (a.swift:4, through Bread)",
    ),
    "of others": (
        {"a.py": "class Bad(ValueError):\n    pass\n\n\nclass Worse(Bad):\n    pass\n"},
        "ValueError",
        "Bad (a.py:1); and through them: Worse (a.py:5, through Bad)",
    ),
}


@pytest.mark.parametrize("language", FURTHER)
def test_types_that_inherit_through_others_are_named_apart(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, meant, words = FURTHER[language]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("subclasses", meant))
    assert f" directly: {words}" in answer.words
    assert {tuple(place.split(":")) for place in re.findall(r"[\w.]+:\d+", words)} <= {
        (evidence.path, str(evidence.line)) for evidence in answer.evidence
    }


# Files, the type that is meant, and what the answer says of what its bases inherit from.
ANCESTRY = {
    "Python": (
        {
            "a.py": "import abc\n\n\nclass Food(abc.ABC):\n    pass\n\n\nclass Bread(Food):\n    pass\n",
            "b.py": "from a import Bread as Loaf\n\n\nclass Rye(Loaf, dict):\n    pass\n",
        },
        "Rye",
        "Loaf (a.py:8), dict (not of the repository); through them from Food (a.py:4, through Bread), "
        "abc.ABC (through Food, not of the repository)",
    ),
    "PHP": (
        {
            "a.php": "<?php\ninterface Food extends Throwable {}\nclass Bread implements Food {}\n"
            "final class Rye extends Bread {}\n"
        },
        "Rye",
        "Bread (a.php:3); through them from Food (a.php:2, through Bread), "
        "Throwable (through Food, not of the repository)",
    ),
    "C#": (
        {
            "a.cs": "interface IFood { }\npartial class Bread : IFood { }\n",
            "b.cs": "partial class Bread { }\nclass Rye : Bread { }\n",
        },
        "Rye",
        "; through them from IFood (a.cs:1, through Bread)",
    ),
    "Ruby": (
        {
            "a.rb": "module Food\nend\nclass Bread < Base\n  include Food\nend\nclass Rye < Bread\nend\n",
        },
        "Rye",
        "Bread (a.rb:3); through them from Base (through Bread, not of the repository), Food (a.rb:1, through Bread)",
    ),
    "Swift": (
        {"a.swift": "protocol Food {}\nclass Bread {}\nextension Bread: Food {}\nclass Rye: Bread {}\n"},
        "Rye",
        "; through them from Food (a.swift:1, through Bread)",
    ),
    "C++": (
        {"a.hpp": "struct Food {};\nstruct Bread : Food {};\nstruct Rye : public Bread {};\n"},
        "Rye",
        "Bread (a.hpp:2); through them from Food (a.hpp:1, through Bread)",
    ),
}


@pytest.mark.parametrize("language", ANCESTRY)
def test_what_a_type_inherits_from_through_its_bases_is_named_apart(
    language: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, meant, words = ANCESTRY[language]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("bases", meant))
    assert words in answer.words
    assert {tuple(place.split(":")) for place in re.findall(r"[\w.]+:\d+", words)} <= {
        (evidence.path, str(evidence.line)) for evidence in answer.evidence
    }


def test_a_base_that_may_be_several_types_is_not_followed(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {f"{name}.php": f"<?php\nclass Bread extends {name.title()} {{}}\n" for name in ("wheat", "corn")}
    rye = "<?php\nclass Loaf extends Bread {}\nclass Rye extends Loaf {}\n"
    repository.commit({**files, "rye.php": rye})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("bases", "Rye"))
    assert "Wheat" not in answer.words
    assert "which Bread it inherits from is not known" in str(answer.limits)


# A file whose Rye implements Food, and may inherit from Bread, as its declaration says.
IMPLEMENTING = {
    "a.ts": "interface Food {}\nclass Bread {}\nclass Rye extends Bread\n  implements Food {}\ninterface Rye extends Food {}\n",
    "A.java": "interface Food<T> {}\nclass Bread {}\nclass Rye extends Bread implements Food<Bread> {}\n",
    "a.php": "<?php interface Food {}\nclass Bread {}\nclass Rye extends Bread implements\n    Food\n{\n}\n",
}


@pytest.mark.parametrize("path", IMPLEMENTING)
def test_what_a_declaration_says_it_implements_is_not_said_to_be_inherited(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({path: IMPLEMENTING[path]})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        bases = answers.of(connection, snapshot, ParsedQuestion("bases", "Rye"))
        related = answers.of(connection, snapshot, ParsedQuestion("relation", "Rye", "Food"))
    food = r"Food(<T>)? "
    assert re.search(rf"inherits from Bread \({path}:2\) and implements {food}", bases.words)
    assert re.search(rf"Rye implements {food}\({path}:3\)", related.words)
