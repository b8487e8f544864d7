"""The gate `compiles`: what a compiler refuses is not offered, and what was not compiled is not offered either."""

import shutil

import pytest
from sqlalchemy import text

from tests.generation.changes.files import FOLDER
from tests.generation.conftest import changes
from tests.improvement_loop import Loop

CASES = FOLDER / "cases"
needs = {
    tool: pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}")
    for tool in ("cargo", "go", "javac")
}
CRATE = '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n'
LIBRARY = """pub fn none(xs: &[u8]) -> bool {
    xs.len() == 0
}

pub fn empty_file(path: &str) -> bool {
    let m = std::fs::metadata(path).unwrap();
    m.len() == 0
}

#[cfg(windows)]
pub fn elsewhere(xs: &[u8]) -> bool {
    xs.len() == 0
}
"""


def withheld(loop: Loop) -> dict[tuple[str, int], str]:
    with loop.engine.connect() as connection:
        rows = connection.execute(text("SELECT path, line, reason FROM withheld_locations")).all()
    return {(row.path, row.line): row.reason for row in rows}


def files_of(pattern: str) -> dict[str, str]:
    return {
        f"{path.parent.name}/{path.name}".replace("-", "_"): path.read_text() for path in CASES.glob(pattern)
    }


@needs["cargo"]
def test_of_a_crate_only_what_was_compiled_before_and_after_is_changed(loop: Loop) -> None:
    loop.repository.commit({"Cargo.toml": CRATE, "src/lib.rs": LIBRARY})
    assert changes(loop) == {"src/lib.rs": ["xs.is_empty()"]}
    reasons = withheld(loop)
    assert "no method named `is_empty`" in reasons["src/lib.rs", 7]
    assert "another platform" in reasons["src/lib.rs", 12]


@needs["cargo"]
def test_reported_files_of_rust_are_left_alone(loop: Loop) -> None:
    loop.repository.commit(files_of("rust-*/*.rs"))
    assert changes(loop) == {}


@needs["cargo"]
def test_a_crate_whose_dependencies_are_missing_is_not_changed(loop: Loop) -> None:
    loop.repository.commit({"Cargo.toml": CRATE + '[dependencies]\nserde = "1"\n', "src/lib.rs": LIBRARY})
    assert changes(loop) == {}
    assert "needs its dependencies" in withheld(loop)["src/lib.rs", 2]


MODULE = "module example.com/shop\n\ngo 1.17\n"
GO = """package shop

import "time"

func left(end time.Time) time.Duration {
	return end.Sub(time.Now())
}

func leftOf(end *time.Time) time.Duration {
	return end.Sub(time.Now())
}
"""
GO_ELSEWHERE = GO.partition("func leftOf")[0].replace("left", "elsewhere").rstrip() + "\n"


@needs["go"]
def test_of_a_module_of_go_only_what_was_compiled_before_and_after_is_changed(loop: Loop) -> None:
    in_test = GO_ELSEWHERE.replace("elsewhere", "inTest")
    loop.repository.commit(
        {
            "go.mod": MODULE,
            "shop.go": GO,
            "shop_windows.go": GO_ELSEWHERE,
            "tagged.go": f"//go:build never\n\n{GO_ELSEWHERE}",
            "shop_test.go": in_test,
            # It is compiled, and never run.
            "fail_test.go": 'package shop\n\nimport "testing"\n\nfunc TestFails(t *testing.T) { t.Fail() }\n',
        }
    )
    assert changes(loop) == {
        "shop.go": ["return time.Until(end)"],
        "shop_test.go": ["return time.Until(end)"],
    }
    reasons = withheld(loop)
    assert "cannot use end" in reasons["shop.go", 10]
    assert "another platform" in reasons["shop_windows.go", 6]
    assert "another platform" in reasons["tagged.go", 8]


@needs["go"]
def test_a_package_of_go_and_one_that_imports_it_are_changed_together(loop: Loop) -> None:
    importing = GO_ELSEWHERE.replace("package shop", "package till").replace(
        'import "time"', 'import (\n\t_ "example.com/shop"\n\t"time"\n)'
    )
    loop.repository.commit({"go.mod": MODULE, "shop.go": GO, "till/till.go": importing})
    assert changes(loop) == {
        "shop.go": ["return time.Until(end)"],
        "till/till.go": ["return time.Until(end)"],
    }


BUGS = {
    "go.mod": MODULE,
    "token.go": 'package shop\n\nimport "math/rand"\n\nfunc newToken(b []byte) {\n\trand.Read(b)\n}\n',
    "read.go": 'package shop\n\nimport (\n\t"io"\n\t"os"\n)\n\nfunc read(name string) ([]byte, error) {\n\tf, err := os.Open(name)\n'
    "\tif err != nil {\n\t\treturn nil, err\n\t}\n\treturn io.ReadAll(f)\n}\n",
    "count.go": 'package shop\n\nimport "sync"\n\nfunc each(wg *sync.WaitGroup) {\n\tgo func() {\n\t\twg.Add(1)\n\t\twg.Done()\n\t}()\n}\n',
    # A session of another kind: it has no body.
    "ask.go": 'package shop\n\nimport "net/http"\n\ntype answer struct{ Body string }\n\ntype client struct{}\n\n'
    "func (client) Do(*http.Request) (*answer, error) { return nil, nil }\n\nfunc ask(c client, r *http.Request) (string, error) {\n"
    '\tresp, err := c.Do(r)\n\tif err != nil {\n\t\treturn resp.Body[:1], err\n\t}\n\tif resp.Body != "" {\n\t\treturn "", nil\n\t}\n\treturn "x", nil\n}\n',
}


@needs["go"]
def test_bugs_of_go_are_fixed_where_the_fix_compiles(loop: Loop) -> None:
    loop.repository.commit(BUGS)
    assert changes(loop) == {
        "token.go": ['import "crypto/rand"'],
        "read.go": ["defer f.Close()"],
        "count.go": ["wg.Add(1)"],
    }


PRINTS = 'package shop\n\nimport "log"\n\nfunc {0}({1} {2}) {{\n\tlog.Fatal("found %d", {1})\n}}\n'


@needs["go"]
@pytest.mark.parametrize("module", [{"go.mod": MODULE}, {}])
def test_a_mark_that_does_not_fit_the_type_of_its_value_is_not_made_one(
    loop: Loop, module: dict[str, str]
) -> None:
    loop.repository.commit(
        {
            **module,
            "numbers.go": PRINTS.format("numbers", "ns", "[]int"),
            "texts.go": PRINTS.format("texts", "names", "[]string"),
        }
    )
    assert changes(loop) == {"numbers.go": ['log.Fatalf("found %d", ns)']}
    assert "wrong type []string" in withheld(loop)["texts.go", 6]


@needs["go"]
def test_of_a_module_of_go_only_packages_that_see_the_change_are_compiled(loop: Loop) -> None:
    loop.repository.commit(
        {
            "go.mod": MODULE + "\nrequire example.com/cart v1.0.0\n",
            "shop.go": GO_ELSEWHERE,
            "till/till.go": 'package till\n\nimport _ "example.com/cart"\n',
        }
    )
    assert changes(loop) == {"shop.go": ["return time.Until(end)"]}


@needs["cargo"]
def test_bugs_of_rust_are_fixed_where_the_fix_compiles(loop: Loop) -> None:
    code = 'use std::io::{self, Write};\n\npub fn f(w: &mut impl Write) -> io::Result<()> {\n    w.write("text".as_bytes())?;\n    Ok(())\n}\n'
    own = code.replace("w: &mut impl Write", "w: &mut Port").replace(
        "pub fn f",
        "pub struct Port;\nimpl Port {\n    pub fn send(&self) {}\n}\npub trait Out {\n    fn write(&self, b: &[u8]) -> io::Result<()>;\n}\npub fn f",
    )
    bits = "pub fn bits(x: f32) -> u32 {\n    unsafe { std::mem::transmute::<f32, u32>(x) }\n}\n"
    loop.repository.commit(
        {"Cargo.toml": CRATE, "src/lib.rs": f"mod bits;\n{code}", "src/bits.rs": bits, "src/own.rs": own}
    )
    assert changes(loop) == {
        "src/lib.rs": ['w.write_all("text".as_bytes())?;'],
        "src/bits.rs": ["f32::to_bits(x)"],
    }


@needs["go"]
def test_reported_files_of_go_are_left_alone(loop: Loop) -> None:
    loop.repository.commit(files_of("go-*/*.go"))
    assert changes(loop) == {}


@needs["go"]
def test_a_module_of_go_whose_dependencies_are_missing_is_not_changed(loop: Loop) -> None:
    loop.repository.commit(
        {
            "go.mod": MODULE + "\nrequire example.com/cart v1.0.0\n",
            "shop.go": GO,
            "cart.go": 'package shop\n\nimport _ "example.com/cart"\n',
        }
    )
    assert changes(loop) == {}
    assert "needs its dependencies" in withheld(loop)["shop.go", 6]


GO_SINCE = 'package {0}\n\nimport (\n\t"time"\n\n\t"example.com/{1}"\n)\n\nfunc since(t time.Time) time.Duration {{\n\t_ = {1}.X\n\treturn time.Now().Sub(t)\n}}\n'


@needs["go"]
def test_a_module_of_go_is_compiled_with_its_vendored_packages(loop: Loop) -> None:
    loop.repository.commit(
        {
            "shop/go.mod": MODULE + "\nrequire example.com/cart v1.0.0\n",
            "shop/shop.go": GO_SINCE.format("shop", "cart"),
            "shop/vendor/modules.txt": "# example.com/cart v1.0.0\n## explicit\nexample.com/cart\n",
            "shop/vendor/example.com/cart/cart.go": "package cart\n\nconst X = 1\n",
        }
    )
    assert changes(loop) == {"shop/shop.go": ["return time.Since(t)"]}


@needs["go"]
def test_modules_of_go_in_a_workspace_are_compiled_together_and_others_are_not(loop: Loop) -> None:
    loop.repository.commit(
        {
            "go.work": "go 1.18\n\nuse (\n\t./cart\n\t./shop\n)\n",
            "cart/go.mod": MODULE.replace("shop", "cart"),
            "cart/cart.go": "package cart\n\nconst X = 1\n",
            "shop/go.mod": MODULE,
            "shop/shop.go": GO_SINCE.format("shop", "cart"),
            "apart/go.mod": MODULE.replace("shop", "apart"),
            "apart/apart.go": GO,
        }
    )
    assert changes(loop) == {"shop/shop.go": ["return time.Since(t)"]}
    assert "go.work" in withheld(loop)["apart/apart.go", 6]


@needs["javac"]
def test_a_class_is_compiled_in_spite_of_classes_that_are_missing(loop: Loop) -> None:
    code = 'import org.shop.Cart;\n\nclass A {\n    Cart cart;\n    boolean f(String s) {\n        return s.equals("");\n    }\n}\n'
    loop.repository.commit({"src/A.java": code})
    assert changes(loop) == {"src/A.java": ["return s.isEmpty();"]}


@pytest.mark.skipif(shutil.which("go") is not None, reason="there is a compiler of Go")
def test_without_the_compiler_nothing_is_changed_and_the_reason_is_kept(loop: Loop) -> None:
    loop.repository.commit(files_of("go-*/*.go"))
    assert changes(loop) == {}
    assert "needs go" in withheld(loop).values()
