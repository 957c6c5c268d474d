"""docs/state-machine.md: the states of a job."""

from contracts.scheduler.jobs import STATUS_OF_STATE, JobState
from scheduler.domain.states import TRANSITIONS, is_final

HEAD = """\
# States of a job

Generated from `scheduler.domain.states` by `./dev generate`. Every arrow is one row in `job_events`.
"""


def build_state_machine_page() -> str:
    """Return the page: a diagram and the public state names."""
    arrows = [
        f"    {before.value if before else '[*]'} --> {after.value}: {cause.value}"
        for (before, cause), after in TRANSITIONS.items()
    ]
    ends = [f"    {state.value} --> [*]" for state in JobState if is_final(state)]
    rows = [f"| {state.value} | {STATUS_OF_STATE[state].value} |" for state in JobState]
    return "\n".join([
        HEAD,
        "```mermaid",
        "stateDiagram-v2",
        *arrows,
        *ends,
        "```",
        "",
        "| state | public status |",
        "| --- | --- |",
        *rows,
        "",
    ])  # fmt: skip
