"""a month of the quota is told once

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OF_A_MONTH = sa.text("subject_type = 'quota period'")


def upgrade() -> None:
    op.create_index(
        "uq_audit_entry_once_a_period",
        "audit_entry",
        ["organisation_id", "action", "subject_id"],
        unique=True,
        sqlite_where=OF_A_MONTH,
        postgresql_where=OF_A_MONTH,
    )


def downgrade() -> None:
    op.drop_index("uq_audit_entry_once_a_period", table_name="audit_entry")
