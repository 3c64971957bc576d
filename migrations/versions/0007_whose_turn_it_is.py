"""whose turn it is

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No batch: it makes SQLite write the table anew, and DROP TABLE fails where other rows point to it.
    op.add_column("job", sa.Column("served", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_job_served", "job", ["served"])
    op.create_index("ix_job_organisation_id_served", "job", ["organisation_id", "served"])
    op.drop_index("ix_chunk_job_id_state", table_name="chunk")
    op.create_index("ix_chunk_job_id_state_number", "chunk", ["job_id", "state", "number"])


def downgrade() -> None:
    op.drop_index("ix_chunk_job_id_state_number", table_name="chunk")
    op.create_index("ix_chunk_job_id_state", "chunk", ["job_id", "state"])
    op.drop_index("ix_job_organisation_id_served", table_name="job")
    op.drop_index("ix_job_served", table_name="job")
    op.drop_column("job", "served")
