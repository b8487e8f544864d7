"""The durable core."""

revision = "0001_core"
down_revision = None


def upgrade() -> None:
    pass
