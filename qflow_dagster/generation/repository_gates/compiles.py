"""The gate `compiles`: no change of Rust, Go or Java is offered that was not compiled, before and after.

Everything runs in one sandbox per batch: a build script of the repository may run, and nothing outside reads or
writes the folder after that. Belongs here: what is compiled, and which locations are to blame. Does not belong
here: the compilers (`compilers`).
"""

import secrets
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from qflow_dagster import sandbox
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.matchers import Edit
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators.protocol import Fix
from qflow_dagster.generation.repository_gates import compilers
from qflow_dagster.generation.repository_gates.protocol import Batch, Result, fixes_at, not_applicable
from qflow_dagster.generation.validation import Gate, Verdict

NAME = "compiles"
LANGUAGES = ("rust", "go", "java")
MAX_EVIDENCE = 200
# The script runs `run NUMBER FOLDER COMMAND...` for each command: the files of variant NUMBER are put in place first.
_SCRIPT = """
root=$PWD
run() {
  cp -R "$root/$inputs/original/." "$root/"
  cp -R "$root/$inputs/$1/." "$root/"
  cd "$root/$2"; shift 2
  if command -v "$1" >/dev/null; then "$@" >/tmp/qflow-output 2>&1; code=$?; else code=missing; : >/tmp/qflow-output; fi
  cd "$root"
  grep -aE 'error|probe|\\.go:|go\\.(mod|work)|could not|no such' /tmp/qflow-output | head -c 20000
  echo; echo "$nonce $code"
}
"""


class _Run(NamedTuple):
    # The number of the candidate, and what is compiled: 0 before the change, 1 with probes, 2 after it.
    candidate: int
    step: int
    variant: int
    command: compilers.Command
    paths: list[str]


class _Outcome(NamedTuple):
    """How a command ended: '0', another exit code, 'missing' (no such program) or 'unfinished'."""

    code: str
    output: str


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Compile each candidate of a compiled language; see `repository_gates`."""
    compiled = [candidate for candidate in candidates if candidate.request.language in LANGUAGES]
    results = not_applicable(NAME, candidates, f"only {', '.join(LANGUAGES)} are compiled")
    if not compiled:
        return results
    started = time.monotonic()
    languages = {candidate.request.language for candidate in compiled}
    environment = batch.environments.of_all(languages)
    with batch.checkout() as folder:
        runs, variants = _plan(compiled, folder)
        try:
            outcomes = _carry_out(folder, runs, variants, _originals(compiled), environment.packages)
        except sandbox.NotIsolatedError as error:
            outcomes = [_Outcome("missing", str(error))] * len(runs)
    seconds = (time.monotonic() - started) / len(compiled)
    for number, candidate in enumerate(compiled):
        own = [(run, outcome) for run, outcome in zip(runs, outcomes, strict=True) if run.candidate == number]
        results[candidate.id] = _judge(candidate, own, seconds, environment.evidence)
    return results


def _plan(candidates: Sequence[Candidate], folder: Path) -> tuple[list[_Run], list[dict[str, str]]]:
    """Return the runs, and the files of each variant: of each candidate before, with probes, and after."""
    runs: list[_Run] = []
    variants: list[dict[str, str]] = []
    for number, candidate in enumerate(candidates):
        commands = compilers.commands(candidate.request.language, candidate.after, folder)
        probed = _probed(candidate)
        # Go does not read what imports a package with an error.
        probes = _by_folder(probed) if candidate.request.language == "go" else [probed]
        steps = [(0, {}), *((1, texts) for texts in probes), (2, candidate.after)]
        for step, texts in steps:
            runs += [_Run(number, step, len(variants), command, paths) for command, paths in commands.items()]
            variants.append(texts)
    return runs, variants


def _originals(candidates: Sequence[Candidate]) -> dict[str, str]:
    return {file.request.path: file.request.text for candidate in candidates for file in candidate.files}


def _carry_out(
    folder: Path,
    runs: Sequence[_Run],
    variants: Sequence[Mapping[str, str]],
    originals: Mapping[str, str],
    packages: sandbox.Packages,
) -> list[_Outcome]:
    inputs = Path(tempfile.mkdtemp(prefix=".qflow-", dir=folder))
    for name, texts in (
        ("original", originals),
        *((str(number), texts) for number, texts in enumerate(variants)),
    ):
        (inputs / name).mkdir()
        for path, text in texts.items():
            (inputs / name / path).parent.mkdir(parents=True, exist_ok=True)
            (inputs / name / path).write_bytes(text.encode())
    nonce = secrets.token_hex(16)
    # The same command on the same files is run once: most candidates share what is before.
    unique = list(dict.fromkeys((_key(run, variants), run.command) for run in runs))
    script = [f"nonce={nonce} inputs={inputs.name}", _SCRIPT]
    for key, command in unique:
        script.append(shlex.join(("run", key, command.folder, *command.arguments)))
    ran = sandbox.run(["sh", "-c", "\n".join(script)], folder, packages=packages)
    parts = ran.output.split(f"\n{nonce} ")
    done = []
    for position in range(len(unique)):
        if position + 1 < len(parts):
            output = parts[position] if position == 0 else parts[position].partition("\n")[2]
            done.append(_Outcome(parts[position + 1].partition("\n")[0], output))
        else:
            done.append(_Outcome("unfinished", ran.output[-MAX_EVIDENCE:]))
    by_key = dict(zip(unique, done, strict=True))
    return [by_key[_key(run, variants), run.command] for run in runs]


def _key(run: _Run, variants: Sequence[Mapping[str, str]]) -> str:
    return str(run.variant) if variants[run.variant] else "original"


def _judge(
    candidate: Candidate, own: Sequence[tuple[_Run, _Outcome]], seconds: float, packages: str
) -> Result:
    every = _locations(candidate)

    def refuse(reason: str, blamed: Sequence[tuple[str, Fix]] | None = None) -> Result:
        reasons = {(path, fix.line): reason for path, fix in (every if blamed is None else blamed)}
        return Result(Gate(NAME, "failed", reason, seconds), reasons)

    before, probed, after = (
        [(run, outcome) for run, outcome in own if run.step == step] for step in range(3)
    )
    for run, outcome in own:
        if outcome.code in ("missing", "127"):
            return refuse(outcome.output or f"needs {run.command.tool}")
        if outcome.code == "unfinished":
            return refuse(f"{run.command.tool} took too long")
    failing = [
        (run, outcome) for run, outcome in before if not compilers.compiled(run.command, *outcome, run.paths)
    ]
    unread: list[tuple[str, Fix]] = []
    if candidate.request.language != "java":
        if failing:
            return refuse(
                f"does not compile before the change, needs its dependencies ({packages}): {_first(*failing[0])}"
            )
        output = "".join(outcome.output for _, outcome in probed)
        unread = [pair for number, pair in enumerate(every) if f"{compilers.PROBE}{number}_" not in output]
    new = Counter(_messages(after)) - Counter(_messages(before))
    not_read = refuse("the compiler does not read it here: another platform, feature or build", unread)
    if not new and unread:
        return not_read
    if not new and (
        failing or all(compilers.compiled(run.command, *outcome, run.paths) for run, outcome in after)
    ):
        verdict: Verdict = "passed"
        old = sum(len(compilers.errors(run.command, outcome.output, run.paths)) for run, outcome in failing)
        evidence = f"{own[0][0].command.tool}, before and after" + (f"; {old} errors in both" if old else "")
        return Result(Gate(NAME, verdict, evidence, seconds))
    result = _blame(candidate, after, new, seconds)
    return result._replace(blamed={**not_read.blamed, **result.blamed})


def _blame(
    candidate: Candidate,
    after: Sequence[tuple[_Run, _Outcome]],
    new: Counter[tuple[str, str]],
    seconds: float,
) -> Result:
    blamed: dict[tuple[str, int], str] = {}
    first = ""
    for run, outcome in after:
        for error in compilers.errors(run.command, outcome.output, run.paths):
            if (error.path, error.message) not in new:
                continue
            first = first or f"{error.path}:{error.line}: {error.message}"
            for file in candidate.files:
                for fix in fixes_at(file, error.line) if file.request.path == error.path else ():
                    blamed[error.path, fix.line] = f"does not compile: {error.message[:MAX_EVIDENCE]}"
    evidence = f"does not compile after the change: {first or _first(*after[0])}"
    return Result(Gate(NAME, "failed", evidence[: 2 * MAX_EVIDENCE], seconds), blamed)


def _locations(candidate: Candidate) -> list[tuple[str, Fix]]:
    return [(file.request.path, fix) for file in candidate.files for fix in file.result.fixes]


def _probed(candidate: Candidate) -> dict[str, str]:
    """Return the files of a candidate with a name of ours, which nothing declares, at each location."""
    texts = {}
    numbers = {pair: number for number, pair in enumerate(_locations(candidate))}
    for file in candidate.files:
        path = file.request.path
        edits = []
        for fix in file.result.fixes:
            widest = max(fix.edits, key=lambda edit: edit.end - edit.start)
            edits.append(Edit(widest.start, widest.end, f"{compilers.PROBE}{numbers[path, fix]}_"))
        texts[path] = matchers.apply_edits(file.request.text, edits)
    return texts


def _messages(outcomes: Sequence[tuple[_Run, _Outcome]]) -> list[tuple[str, str]]:
    return [
        (error.path, error.message)
        for run, outcome in outcomes
        for error in compilers.errors(run.command, outcome.output, run.paths)
    ]


def _first(run: _Run, outcome: _Outcome) -> str:
    found = compilers.errors(run.command, outcome.output, run.paths)
    message = f"{found[0].path}:{found[0].line}: {found[0].message}" if found else outcome.output
    return " ".join(message.split())[:MAX_EVIDENCE] or f"{run.command.tool} ended with {outcome.code}"


def _by_folder(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the files of each folder by themselves."""
    folders: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        folders.setdefault(str(Path(path).parent), {})[path] = text
    return list(folders.values())
