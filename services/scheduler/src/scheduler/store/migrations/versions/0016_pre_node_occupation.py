"""Record what occupies nodes, operators' commands to them, and recently replaced catalogs.

Revision ID: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

COLUMNS = (
    sa.Column("occupied_by", sa.Text, comment="contracts.scheduler.OccupiedBy: why it answers and takes no jobs"),
    sa.Column("occupied_prompt_id", sa.Text, comment="as the node names it"),
    sa.Column("occupied_since", sa.DateTime(timezone=True)),
    sa.Column(
        "blocked",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="occupied for longer than its executor's bound",
    ),
    sa.Column("clear_at", sa.DateTime(timezone=True), comment="an operator ordered to clear it; null once done"),
    sa.Column("refresh_at", sa.DateTime(timezone=True), comment="the same, to read its catalog again"),
)

# A digest changes with a heartbeat or a catalog report; the trigger covers both.
KEEP_SQL = (
    """
CREATE FUNCTION keep_replaced_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO replaced_catalogs (node, digest, replaced_at) VALUES (OLD.name, OLD.catalog_digest, now())
    ON CONFLICT (node, digest) DO UPDATE SET replaced_at = excluded.replaced_at;
    DELETE FROM replaced_catalogs WHERE node = OLD.name AND replaced_at < now() - interval '1 day';
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER keep_replaced_catalog AFTER UPDATE OF catalog_digest ON nodes FOR EACH ROW
WHEN (OLD.catalog_digest IS NOT NULL AND OLD.catalog_digest IS DISTINCT FROM NEW.catalog_digest)
EXECUTE FUNCTION keep_replaced_catalog()
""",
)


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("nodes", column)
    op.create_table(
        "replaced_catalogs",
        sa.Column("node", sa.Text, sa.ForeignKey("nodes.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        comment="Catalogs that nodes had until lately, for a model folder may be empty for a moment.",
    )
    for statement in KEEP_SQL:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_replaced_catalog ON nodes")
    op.execute("DROP FUNCTION keep_replaced_catalog()")
    op.drop_table("replaced_catalogs")
    for column in reversed(COLUMNS):
        op.drop_column("nodes", column.name)
