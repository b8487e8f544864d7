"""Files of Go, Rust and Java that come near rules: a program of all of them prints the same before and after the fixes."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.generation.changes.files import FOLDER, compile_java, fixed, run_java

# Which files are changed, by language; every other file stays as it is.
CHANGED = {
    "go": "atomics bools bytes_of_rand contains files formats macs responses signals since",
    "rust": "abs_same char_index lines_parsed returns transmutes write_all",
    "java": "AbsOfHash AbsOfHashOfLong BoxedSmall DaysOfJanuary Digests DoubleChecked EmptyTexts Products Randoms"
    " StreamsClosed StringInterned StringPrecedence WeekYears",
}


def sources(language: str) -> list[Path]:
    return sorted((FOLDER / language).iterdir())


def go(texts: Mapping[str, str], folder: Path) -> str:
    main = (
        'package main\n\nimport (\n\t"fmt"\n\t"sort"\n)\n\nvar cases = map[string]func(){}\n\n'
        "func show(values ...interface{}) { fmt.Println(values...) }\n\nfunc main() {\n\tvar names []string\n"
        "\tfor name := range cases {\n\t\tnames = append(names, name)\n\t}\n\tsort.Strings(names)\n"
        "\tfor _, name := range names {\n\t\tfmt.Println(name)\n\t\tcases[name]()\n\t}\n}\n"
    )
    for name, text in {**texts, "main.go": main, "go.mod": "module cases\n\ngo 1.18\n"}.items():
        (folder / name).write_text(text)
    return run(["go", "run", "."], folder)


def rust(texts: Mapping[str, str], folder: Path) -> str:
    names = [name.removesuffix(".rs") for name in texts]
    calls = "".join(f'    println!("{name}");\n    {name}::run();\n' for name in names)
    main = "".join(f"mod {name};\n" for name in names) + f"fn main() {{\n{calls}}}\n"
    for name, text in {**texts, "main.rs": main}.items():
        (folder / name).write_text(text)
    run(["rustc", "--edition", "2021", "--cap-lints", "allow", "-o", "cases", "main.rs"], folder)
    return run(["./cases"], folder)


def java(texts: Mapping[str, str], folder: Path) -> str:
    names = [name.removesuffix(".java") for name in texts]
    calls = "".join(f'        System.out.println("{name}");\n        {name}.run();\n' for name in names)
    main = f"class Main {{\n    public static void main(String[] arguments) {{\n{calls}    }}\n}}\n"
    assert compile_java({**texts, "Main.java": main}, folder) == []
    return run_java("Main", folder)


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("language", CHANGED)
def test_which_files_are_changed(language: str) -> None:
    assert len(sources(language)) >= 25
    assert {path.stem for path in sources(language) if fixed(path) != path.read_text()} == set(CHANGED[language].split())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("language", "tool", "printed"), [("go", "go", go), ("rust", "rustc", rust), ("java", "javac", java)]
)
def test_a_program_prints_the_same_after_the_fixes(
    language: str, tool: str, printed: Callable[[Mapping[str, str], Path], str], tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    outputs = []
    for name, text_of in (("before", Path.read_text), ("after", fixed)):
        (tmp_path / name).mkdir()
        outputs.append(printed({path.name: text_of(path) for path in sources(language)}, tmp_path / name))
    assert outputs[0] == outputs[1]
