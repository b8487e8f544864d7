"""Tables, columns and one outcome of rules get the names that the code uses."""

import sqlalchemy as sa
from alembic import op

revision = "0014_rule_terms"
down_revision = "0012_publishing"

TABLES = {"rule_lives": "rule_lifecycles", "rule_places": "rule_locations"}
COLUMNS = {
    "rule_lifecycles": {"words": "description", "wanted": "requested_status"},
    "rule_outcomes": {"believed": "confidence_mean", "believed_lower": "confidence_lower"},
    "suggestions": {"believed": "confidence_mean", "believed_lower": "confidence_lower"},
    "rule_publications": {"place": "store"},
    "rule_imports": {"place": "store"},
}
CONSTRAINTS = {
    "rule_lifecycles": {
        "pk_rule_lives": "pk_rule_lifecycles",
        "uq_rule_lives_digest": "uq_rule_lifecycles_digest",
        "ck_rule_lives_origin": "ck_rule_lifecycles_origin",
        "ck_rule_lives_wanted": "ck_rule_lifecycles_requested_status",
        "ck_rule_lives_asked": "ck_rule_lifecycles_requested",
    },
    "rule_locations": {
        "pk_rule_places": "pk_rule_locations",
        "fk_rule_places_outcome_id_rule_outcomes": "fk_rule_locations_outcome_id_rule_outcomes",
    },
    "rule_publications": {
        "uq_rule_publications_place_package_digest": "uq_rule_publications_store_package_digest",
    },
}
INDEXES = {
    "ix_rule_lives_rule_id": "ix_rule_lifecycles_rule_id",
    "ix_rule_lives_approval_id": "ix_rule_lifecycles_approval_id",
}
KINDS = (
    "kind IN ('shown', 'suppressed', 'passed', 'failed', 'approved', 'denied', 'applied', 'verified', 'reverted', "
    "'{fixed}', 'reappeared')"
)


def upgrade() -> None:
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for table, columns in COLUMNS.items():
        for old, new in columns.items():
            op.alter_column(table, old, new_column_name=new)
    for table, constraints in CONSTRAINTS.items():
        for old, new in constraints.items():
            op.execute(sa.text(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}"))
    for old, new in INDEXES.items():
        op.execute(sa.text(f"ALTER INDEX {old} RENAME TO {new}"))
    op.drop_constraint("ck_rule_outcomes_kind", "rule_outcomes")
    op.execute(sa.text("UPDATE rule_outcomes SET kind = 'fixed' WHERE kind = 'mended'"))
    op.create_check_constraint(op.f("ck_rule_outcomes_kind"), "rule_outcomes", KINDS.format(fixed="fixed"))
