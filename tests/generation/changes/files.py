"""Files that rules are applied to as a whole, and programs that show what they do before and after."""

import subprocess
from pathlib import Path

from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.generation.fixed_text import fix_text

FOLDER = Path(__file__).parent
LANGUAGES = {
    ".js": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".java": "java",
    ".rs": "rust",
    ".go": "go",
}
RULES = [
    rule
    for rule in load_rules()
    if rule.fix is not None and rule.safety in ("safe", "checked") and rule.status == "active"
]


def fixed(path: Path) -> str:
    """Return the text of a file after the fixes of all rules that would be proposed for it."""
    text, language = path.read_text(), LANGUAGES[path.suffix]
    for rule in RULES:
        if language in rule.language:
            text = fix_text(rule, text, path.name, language)
    return text


def run_javascript(text: str, folder: Path) -> tuple[int, str]:
    """Run a script with node; return its exit code and standard output."""
    script = folder / "script.js"
    script.write_text(text)
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout


def compile_java(texts: dict[str, str], folder: Path) -> list[str]:
    """Compile files of Java together; return the errors."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    command = ["javac", "-nowarn", "-Xlint:none", "-d", folder, *(folder / name for name in texts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stderr.splitlines() if ": error:" in line]


def run_java(main: str, folder: Path) -> str:
    """Run a compiled class; return its standard output."""
    command = ["java", "-Xshare:auto", "-cp", folder, main]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
