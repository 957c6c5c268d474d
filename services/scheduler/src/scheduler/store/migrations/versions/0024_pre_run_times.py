"""Run times of finished jobs, estimates given at submission, and their accuracy.

Revision ID: 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("fingerprint", sa.BigInteger, comment="of its workflow: scheduler.domain.workflow_fingerprint"),
    )
    op.add_column(
        "attempts",
        sa.Column("loads_models", sa.Boolean, comment="its node had not loaded all models of the job; null: unknown"),
    )
    op.create_table(
        "run_times",
        sa.Column("scope", sa.Text, primary_key=True, comment="scheduler.domain.run_times.Scope"),
        sa.Column("id", sa.BigInteger, primary_key=True, comment="fingerprint, requirement, or 0 for the fleet"),
        sa.Column("node_class", sa.Text, primary_key=True, comment="name of the first GPU; empty: unknown, or any"),
        sa.Column("loads_models", sa.Boolean, primary_key=True),
        sa.Column("bins", JSONB, nullable=False, comment="weight by bin of scheduler.domain.durations"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        comment="Run times of succeeded jobs as histograms in which newer runs count more.",
    )
    op.create_index("ix_run_times_updated_at", "run_times", ["updated_at"])
    op.create_table(
        "job_estimates",
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("start_s", sa.Float, nullable=False, comment="from the submission, here and below"),
        sa.Column("start_p90_s", sa.Float, nullable=False),
        sa.Column("end_s", sa.Float, nullable=False),
        sa.Column("end_p90_s", sa.Float, nullable=False),
        comment="Estimates given for a sample of jobs at submission, until these jobs end.",
    )
    op.create_index("ix_job_estimates_at", "job_estimates", ["at"])
    op.create_table(
        "eta_accuracy",
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True, comment="beginning of the hour"),
        sa.Column("stage", sa.Text, primary_key=True, comment="start or end"),
        sa.Column("result", sa.Text, primary_key=True, comment="scheduler.domain.eta_accuracy.EtaResult"),
        sa.Column(
            "bin", sa.Integer, primary_key=True, comment="of actual / estimated, as in scheduler.domain.durations"
        ),
        sa.Column("jobs", sa.Integer, nullable=False),
        comment="How long jobs took, compared with the estimate at their submission.",
    )


def downgrade() -> None:
    for table in ("eta_accuracy", "job_estimates", "run_times"):
        op.drop_table(table)
    op.drop_column("attempts", "loads_models")
    op.drop_column("jobs", "fingerprint")
