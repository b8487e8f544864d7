"""Settings come from the environment, are checked at start, and never show a secret."""

from collections.abc import Iterator

import pytest

from qflow_dagster.errors import UsageError
from qflow_dagster.settings import environment_name, settings


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_nested_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_INGESTION_PARSE_LIMIT", "5000")
    assert settings().ingestion.parse_limit == 5000
    assert environment_name("ingestion", "parse_limit") == "QFLOW_INGESTION_PARSE_LIMIT"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("QFLOW_INGESTION_PROCESSES", "0", "greater than or equal to 1"),
        ("QFLOW_INGESTION_PROCESSES", "many", "valid integer"),
        ("QFLOW_INBOX_PORT", "70000", "less than or equal to 65535"),
        # Others would be kept out of these.
        ("QFLOW_HOME", "/", "name a folder of its own"),
        ("QFLOW_HOME", "/usr/..", "name a folder of its own"),
        ("QFLOW_HOME", "/tmp", "name a folder of its own"),
        ("QFLOW_DAGSTER_PORT", "3000", "set QFLOW_INBOX_PORT instead"),
        ("QFLOW_DAGSTER_HOST", "0.0.0.0", "set QFLOW_INBOX_HOST instead"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_range(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=rf"{variable}='{value}'.*{words}"):
        settings()


@pytest.mark.parametrize(
    "archive",
    [
        "s3://key:planted-secret@bucket/old",
        "s3://key:planted/secret@bucket/old",
        "s3://planted-secret@bucket/old",
        "simplecache::s3://key:planted-secret@bucket/old",
        "filecache::simplecache::sftp://planted-secret@host/old",
        "abfs://container:planted-secret@account.dfs.core.windows.net/old",
        "https://account.blob.core.windows.net/old?sv=1&sig=planted-secret-of-32-characters-x",
    ],
)
def test_credentials_in_the_address_of_archives_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    monkeypatch.setenv("QFLOW_QUANTUMFLOW_ARCHIVE", archive)
    with pytest.raises(UsageError, match=r"QFLOW_QUANTUMFLOW_ARCHIVE.*settings of the driver") as refused:
        settings()
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    "archive",
    [
        "/srv/a:b@c",
        "s3://bucket/old@2026",
        "simplecache::s3://bucket/old",
        "abfs://container@account.dfs.core.windows.net/old",
        "gs://bucket/old",
    ],
)
def test_an_address_of_archives_without_credentials_is_taken(
    monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    monkeypatch.setenv("QFLOW_QUANTUMFLOW_ARCHIVE", archive)
    assert settings().quantumflow.archive == archive


@pytest.mark.parametrize(
    ("former", "present", "value"),
    [
        ("QFLOW_EXECUTION_TASK_LANES", ("execution", "task_workers"), 7),
        ("QFLOW_AGENTS_LEAST_FIT", ("agents", "min_fit"), 0.25),
        ("QFLOW_APPROVALS_LONGEST_TTL", ("approvals", "max_ttl"), 3_600),
    ],
)
def test_a_renamed_setting_is_read_by_both_names(
    monkeypatch: pytest.MonkeyPatch, former: str, present: tuple[str, str], value: float
) -> None:
    for variable in (former, environment_name(*present)):
        settings.cache_clear()
        with monkeypatch.context() as environment:
            environment.setenv(variable, str(value))
            assert getattr(getattr(settings(), present[0]), present[1]) == value


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_DATABASE_URL", "postgresql://ada:planted-secret@example.org/q")
    assert "planted-secret" not in repr(settings())
    assert "planted-secret" not in str(settings().model_dump())


def test_an_empty_home_is_the_default_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_HOME", "")
    assert settings().home.name == ".qflow"
