"""Learn the kinds of questions from labelled wordings: `python -m benchmarks.learn_wordings`.

Learns from the files of `wordings` but those whose name begins with "unseen", and writes the weights into the package:
those of kinds, and of which of several names a question is about (`learn_subjects`).
`python -m benchmarks.wordings` says how well the unseen ones are read. `--without NAME` leaves out one more file and
writes nothing: it prints by probability how many questions of that file are read rightly.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import DictVectorizer
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import normalize

from benchmarks import learn_subjects
from qflow_dagster.knowledge import learned_subjects, learned_wordings, question_names
from qflow_dagster.knowledge.learned_wordings import Model, layer
from qflow_dagster.knowledge.question_names import Names

console = Console()
FOLDER = Path(__file__).parent / "wordings"
# A feature must be in so many wordings.
MIN_WORDINGS = 3
# A word that so many questions have is no name unless it is marked as one.
MIN_COMMON = 8
# Of the hidden layer; and how often all questions are shown: more of either gains nothing.
WIDTH, EPOCHS = 32, 10


def questions(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the labelled questions of files: `ask`, `kind` (the best first), `subject`, `other`."""
    return [
        {"subject": "", "other": "", **row}
        for name in names
        for row in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    ]


def known_names(row: dict[str, Any]) -> set[str]:
    """Return the names of a labelled question that the repository would know, also as names in what is named too."""
    names = {str(row[key]).strip("`").removesuffix("()") for key in ("subject", "other")} - {""}
    return names | {name for name in question_names.candidates(row["ask"]) if name.partition(":")[2] in names}


def names_of(row: dict[str, Any], common: frozenset[str]) -> Names:
    """Return the words of a labelled question, and which of them is its subject."""
    return learned_subjects.about(question_names.read(row["ask"], common, known_names(row)))


def learn(rows: Sequence[dict[str, Any]]) -> Model:
    """Return what a network of one hidden layer learns from labelled questions; first the weights of subjects."""
    count = Counter(
        word for row in rows for word in set(question_names.read(row["ask"], (), known_names(row)).words)
    )
    common = frozenset(word for word, number in count.items() if number >= MIN_COMMON)
    learned_subjects.store(learn_subjects.learn(rows, common))
    found = [
        learned_wordings.features(names.words, names.main)
        for row in rows
        for names in [names_of(row, common)]
    ]
    frequency = Counter(feature for features in found for feature in features)
    kept = {feature: 1 for feature, number in sorted(frequency.items()) if number >= MIN_WORDINGS}
    vectorizer = DictVectorizer().fit([kept])
    matrix = normalize(vectorizer.transform([dict.fromkeys(features, 1) for features in found]))
    network = MLPClassifier(
        (WIDTH,),
        max_iter=EPOCHS,
        batch_size=64,  # pyright: ignore[reportArgumentType]: scikit-learn's stub knows only "auto"
        learning_rate_init=0.002,
        random_state=1,
    )
    # That it has not converged is meant: it would learn the wordings by heart.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(matrix, [row["kind"].split()[0] for row in rows])
    (into, out), (hidden, output) = network.coefs_, network.intercepts_
    return Model(
        list(map(str, network.classes_)),
        common,
        layer(dict(zip(kept, into, strict=True)), hidden),
        layer({str(index): row for index, row in enumerate(out)}, output),
    )


def main() -> None:
    """Learn, and write the model, or print how well a file that was left out is read."""
    without = sys.argv[sys.argv.index("--without") + 1] if "--without" in sys.argv else ""
    files = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("unseen"))
    model = learn(questions([name for name in files if name != without]))
    if not without:
        learned_wordings.store(model)
        console.print(
            f"{len(model.hidden.rows):,} features in {learned_wordings.FILE.stat().st_size:,} bytes"
        )
        return
    table = Table("probability", "right", "wrong", "of none, read as a kind", title=f"Without {without}")
    readings = [
        (row["kind"].split(), learned_wordings.readings(model, names.words, names.main)[0])
        for row in questions([without])
        for names in [names_of(row, model.common)]
    ]
    of_facts = [(kinds, read) for kinds, read in readings if kinds != ["search"]]
    of_none = [(kinds, read) for kinds, read in readings if kinds == ["search"]]
    for least in (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7):
        claimed = [pair for pair in of_facts if pair[1].probability >= least and pair[1].kind != "search"]
        right = sum(read.kind in kinds for kinds, read in claimed)
        taken = sum(read.probability >= least and read.kind != "search" for _, read in of_none)
        share = (f"{right / len(of_facts):.1%}", f"{(len(claimed) - right) / len(of_facts):.1%}")
        table.add_row(f"{least}", *share, f"{taken} of {len(of_none)}")
    console.print(table)


if __name__ == "__main__":
    main()
