"""Rows in `error_occurrences` notify of themselves, whoever inserts them, so that nobody has to look for them."""

from alembic import op

revision = "0034_wake_ups"
down_revision = "0033_error_grouping"


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION notify_of_occurrences() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NOTIFY new_occurrences;
            RETURN NULL;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER notify_of_occurrences AFTER INSERT ON error_occurrences "
        "FOR EACH STATEMENT EXECUTE FUNCTION notify_of_occurrences()"
    )
