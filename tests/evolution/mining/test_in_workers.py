"""Mining in worker processes, as it is done: what is hostile costs itself, and results come in any order."""

from qflow_dagster.evolution import examples
from qflow_dagster.evolution.mining.rule_miner import Minima, mine
from tests.evolution.mining.histories import history, module, new
from tests.ingestion.conftest import ANN, BOB, GitRepository

# A few changes are enough.
FEW = Minima(precision=0.5)


def test_hostile_files_cost_only_themselves(repository: GitRepository) -> None:
    deep = "x = " + "(" * 5_000 + "%s" + ")" * 5_000 + "\n"
    hostile = {
        "huge.py": "x = [\n" + "    1,\n" * 60_000 + "]\ny = %s\n",
        "deep.py": deep,
        "broken.py": "def (:\n" * 50 + "x = %s\n",
        'we"ird\n.py': "x = %s\n",
        "sp ace: ü.py": "x = %s\n",
        "-n.py": "x = %s\n",
        "vendor/lib.py": "x = %s\n",
    }
    history(repository, [])
    for version in range(2):
        repository.commit(
            {name: text % version for name, text in hostile.items()} | {"latin.py": b"x = '\xe9%d'" % version}
        )
    for i in range(4):
        files = {name: text % f"f({i})" for name, text in hostile.items()}
        repository.commit({**files, "latin.py": b"x = '\xe9' + %d" % i, f"m{i}.py": module(new(i), f"f{i}")})
    result = mine(repository.path, tip="HEAD", processes=1, languages=["python"], minima=FEW)
    rules = [mined.rule for mined in result.rules]
    assert "mined/python-has-key-to-in" in [rule.id for rule in rules]
    assert all(examples.problems(rule) == [] for rule in rules)


def test_mining_is_the_same_every_time(repository: GitRepository) -> None:
    history(repository, [(i, new(i), (ANN, BOB)[i % 2]) for i in range(5)])
    one, other = (mine(repository.path, tip="HEAD", processes=n, minima=FEW).rules for n in (1, 2))
    assert one
    assert one == other
