"""Learn which of several names a question is about; `benchmarks.learn_wordings` calls it.

Each labelled question with several names is shown three times: the repository has all names, only that of its subject,
all but that.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from qflow_dagster.knowledge import learned_subjects, question_names
from qflow_dagster.knowledge.question_names import Names

# A feature must be in so many names; the inverse strength of regularization.
MIN_NAMES, STRENGTH = 3, 0.5
# Of these the subject is the question itself, or a word for what an overview is of.
WITHOUT_SUBJECT = ("search", "testing", "next", "running", "overview", "licence")
# Of these it is two names, revisions, a word for what is added, or a place.
_OTHER_SUBJECTS = frozenset([*WITHOUT_SUBJECT, "relation", "between", "placement", "configuration"])


def examples(rows: Sequence[dict[str, Any]], common: Collection[str]) -> Iterator[tuple[Names, set[int]]]:
    """Yield the names of questions that have several, and which of the mentions are the subject."""
    for row in rows:
        subject = plain(row["subject"])
        if not subject or row["kind"].split()[0] in _OTHER_SUBJECTS:
            continue
        written = {
            name for name in question_names.candidates(row["ask"]) if question_names.is_like_code(name)
        }
        own = {name for name in {*written, row["subject"]} if plain(name) == subject}
        for known in (own | written, own, written - own):
            names = question_names.read(row["ask"], common, known)
            right = {at for at, mention in enumerate(names.mentions) if plain(mention.text) == subject}
            if right and len({mention.text for mention in names.mentions}) > 1:
                yield names, right


def learn(rows: Sequence[dict[str, Any]], common: Collection[str]) -> dict[str, float]:
    """Return the weight of each feature of a name."""
    found, labels = [], []
    for names, right in examples(rows, common):
        for at in range(len(names.mentions)):
            found.append(learned_subjects.features(names, at))
            labels.append(at in right)
    count = Counter(feature for features in found for feature in features)
    kept = [feature for feature, number in sorted(count.items()) if number >= MIN_NAMES]
    vectorizer = DictVectorizer().fit([dict.fromkeys(kept, 1)])
    matrix = vectorizer.transform([dict.fromkeys(features, 1) for features in found])
    model = LogisticRegression(C=STRENGTH, max_iter=2_000, class_weight="balanced").fit(matrix, labels)
    return dict(zip(kept, model.coef_[0], strict=True))


def plain(name: object) -> str:
    """Return a name without case, quotes and parentheses."""
    return str(name).lower().strip("`'\"").removesuffix("()")
