"""the ledger is read in order

Revision: 0006, after 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_ledger_entry_in_order", "ledger_entry", ["organisation_id", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_ledger_entry_in_order", table_name="ledger_entry")
