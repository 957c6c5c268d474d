"""A catalog that a node has cannot be deleted, so that the others can.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"
oldest_code = "0016"


def upgrade() -> None:
    # Existing rows are not checked: nodes are written all the time, and no catalog was ever deleted.
    op.execute("""
        ALTER TABLE nodes ADD CONSTRAINT fk_nodes_catalog_digest FOREIGN KEY (catalog_digest)
        REFERENCES catalogs (digest) NOT VALID
    """)


def downgrade() -> None:
    op.drop_constraint("fk_nodes_catalog_digest", "nodes")
