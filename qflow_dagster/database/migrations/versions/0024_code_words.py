"""The words of the code of functions are searched; the index is built again."""

from alembic import op

revision = "0024_code_words"
down_revision = "0023_teams"


def upgrade() -> None:
    op.execute("TRUNCATE knowledge_entries")
    op.execute("ALTER TABLE knowledge_entries DROP COLUMN tsv")
    op.execute("ALTER TABLE knowledge_entries ADD COLUMN code_words text NOT NULL")
    op.execute("""
        ALTER TABLE knowledge_entries ADD COLUMN tsv tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector('english', name_words), 'A') || setweight(to_tsvector('english', words), 'B')
            || to_tsvector('english', code_words)) STORED
    """)
    op.create_index("ix_knowledge_entries_tsv", "knowledge_entries", ["tsv"], postgresql_using="gin")
