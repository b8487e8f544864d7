"""A gate that has nothing to check in a change is not applicable; one that is skipped could not check."""

from alembic import op

revision = "0019_not_applicable"
down_revision = "0018_rules_off"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_gate_results_verdict"), "gate_results")
    op.create_check_constraint(
        op.f("ck_gate_results_verdict"),
        "gate_results",
        "verdict IN ('passed', 'failed', 'skipped', 'not applicable')",
    )
