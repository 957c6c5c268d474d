"""Say in plain words what tables and columns contain.

Revision ID: 0026
"""

from alembic import op

revision = "0026"
down_revision = "0025"
oldest_code = "0016"

# table, column or None for the table itself, new comment, previous comment
COMMENTS = (
    (
        "waiting_requirements",
        None,
        "Requirements of the queued jobs of each tenant, so that claims skip jobs that a node cannot run.",
        "Tenants with queued jobs by what these jobs need, so that claims skip jobs that a node cannot run.",
    ),
    (
        "replaced_catalogs",
        None,
        "Earlier catalogs of nodes, kept for a short time: a model folder may be empty for a moment.",
        "Catalogs that nodes had until lately, for a model folder may be empty for a moment.",
    ),
    (
        "models_at_join",
        None,
        "Models that a node had when it joined, so that no job can have written them.",
        "Models that a node had when it joined: no job can have written them.",
    ),
    (
        "class_rules",
        None,
        "Operators' rules about node classes, used while auth is unavailable.",
        "Operators' rules about node classes, for when auth is away.",
    ),
    ("tenants", "images_per_day", "null: unlimited, also in the following columns", "null: unlimited, here and below"),
    ("tenants", "version", "version of the last applied change", "of the last change heard"),
    ("tenants", "result_days", "how long an ended job is kept", "an ended job is kept for so long"),
    (
        "jobs",
        "images",
        "reserved images; after the end, the images that were made",
        "reserved, after the end really made",
    ),
    ("jobs", "seq", "number of the newest event", "of the newest event"),
    ("jobs", "started_at", "start of the newest attempt", "of the newest attempt"),
    (
        "jobs",
        "warnings",
        "contracts.scheduler.JobWarning, written at the end",
        "contracts.scheduler.JobWarning, of the end",
    ),
    (
        "jobs",
        "model",
        "chosen for a built-in workflow, like the following columns",
        "of a built-in workflow, here and below",
    ),
    (
        "jobs",
        "seeds",
        "contracts.scheduler.DrawnSeed; NULL if no seed was drawn",
        "contracts.scheduler.DrawnSeed, of any workflow; NULL where none was drawn",
    ),
    ("jobs", "on_hold", "held: not counted as queued", "queued, and not counted there"),
    (
        "jobs",
        "request_id",
        "id of the HTTP request that submitted it, for logs",
        "of the request that submitted it, for logs",
    ),
    (
        "jobs",
        "endpoint",
        "endpoint that it was submitted to, or the job that it runs again",
        "by which it came, or the job that it runs again",
    ),
    (
        "jobs",
        "avoid_node",
        "node that died while it ran this job: other nodes are preferred",
        "it died with this job: other nodes come first",
    ),
    (
        "jobs",
        "passed_over_at",
        "when another job was first preferred at its turn",
        "another job was first preferred when it was its turn",
    ),
    ("attempts", "node_died", "the node died during it", "with this attempt in hand"),
    ("attempts", "node_failed", "the node failed during it", "while it ran this attempt"),
    (
        "attempts",
        "silent_boot_id",
        "executor that fell silent; if heard again, its node had not died",
        "executor that fell silent; heard again, its node had not died",
    ),
    ("nodes", "loaded", "models of its last prompt, as Class.input=file", "Class.input=file of its last prompt"),
    ("nodes", "cordoned_at", "since when it gets no new jobs", "an operator wants it to get no new work"),
    (
        "nodes",
        "cordon_reason",
        "set if the scheduler cordoned it, and not an operator",
        "set if the scheduler cordoned it by itself",
    ),
    ("nodes", "drain_at", "when its job is moved to another node", "and to lose what it has then"),
    (
        "nodes",
        "models_noted",
        "whether its models at the join are in models_at_join",
        "models_at_join has what it had when it joined",
    ),
    (
        "nodes",
        "state_since",
        "since when it is online with its catalog, or offline; null: unknown",
        "it is online or not, with its catalog, since then; null: unknown",
    ),
    (
        "nodes",
        "shared_since",
        "since when foreign prompts are in its queue; null: there are none",
        "prompts of somebody else are in its queue since then; null: none are",
    ),
    (
        "nodes",
        "occupied_by",
        "contracts.scheduler.OccupiedBy: why it responds and takes no jobs",
        "contracts.scheduler.OccupiedBy: why it answers and takes no jobs",
    ),
    ("nodes", "occupied_prompt_id", "id of the prompt on the node", "as the node names it"),
    (
        "nodes",
        "clear_at",
        "when an operator ordered to clear it; null once done",
        "an operator ordered to clear it; null once done",
    ),
    (
        "nodes",
        "refresh_at",
        "when an operator ordered to refresh its catalog; null once done",
        "the same, to read its catalog again",
    ),
    ("nodes", "graph_node", "graph node that its attempt runs now", "node of the graph that its attempt runs now"),
    ("trend_jobs", "step_s", "60 or 3600, also in the following tables", "60 or 3600, here and below"),
    ("run_times", "scope", "scheduler.domain.run_times.HistogramScope", "scheduler.domain.run_times.Scope"),
    (
        "run_times",
        "node_class",
        "name of the first GPU; empty: unknown, or any GPU",
        "name of the first GPU; empty: unknown, or any",
    ),
    (
        "job_estimates",
        "start_s",
        "seconds from the submission, also in the following columns",
        "from the submission, here and below",
    ),
)


def upgrade() -> None:
    for table, column, comment, _ in COMMENTS:
        _set_comment(table, column, comment)


def downgrade() -> None:
    for table, column, _, previous in COMMENTS:
        _set_comment(table, column, previous)


def _set_comment(table: str, column: str | None, comment: str) -> None:
    target = f"COLUMN {table}.{column}" if column else f"TABLE {table}"
    text = comment.replace("'", "''")
    op.execute(f"COMMENT ON {target} IS '{text}'")
