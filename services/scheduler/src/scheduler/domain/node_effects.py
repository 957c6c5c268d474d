"""Describes what an action on a node would do."""

from dataclasses import dataclass

from contracts.preview import NO_EFFECT, Effect
from contracts.scheduler.heartbeats import OccupancyCause
from contracts.scheduler.nodes import NodeAction, NodeState, NodeStatus, RunNodeAction


@dataclass(frozen=True, slots=True)
class QueueDependence:
    """How much the queue depends on a node.

    Attributes:
        jobs: queued jobs that no other node can run now.
        is_exact: whether the number is exact; otherwise there may be more.
        is_last: whether no other node takes new jobs.
    """

    jobs: int
    is_exact: bool
    is_last: bool


def list_effects(command: RunNodeAction, node: NodeStatus, dependence: QueueDependence) -> tuple[Effect, ...]:
    """List what an action that applies in the node's state would change."""
    match command.order:
        case NodeAction.CORDON | NodeAction.DRAIN:
            effects = _list_effects_of_cordon(command, node, dependence)
        case NodeAction.CLEAR:
            effects = [_describe_clear(node)]
        case NodeAction.FORGET:
            effects = [Effect(code="node_removed", message="The node is removed. If it comes back, it counts as new.")]
        case NodeAction.UNCORDON:
            effects = [] if node.cordoned_at is None else [Effect(code="new_jobs", message="The node gets jobs again.")]
        case NodeAction.REFRESH:
            effects = [Effect(code="catalog_read", message="The executor reads classes and models again.")]
    return tuple(effects) or (Effect(code=NO_EFFECT, message="Nothing changes."),)


def _list_effects_of_cordon(command: RunNodeAction, node: NodeStatus, dependence: QueueDependence) -> list[Effect]:
    effects = []
    if node.cordoned_at is None:
        effects.append(Effect(code="no_new_jobs", message="The node gets no new jobs until it is uncordoned."))
    if node.running is not None:
        effects.append(_describe_running_job(command, node.running.progress))
    if node.cordoned_at is not None:
        has_no_effect = command.order is NodeAction.CORDON or node.running is None
        return [] if has_no_effect else effects
    if dependence.jobs:
        number = f"{dependence.jobs}" if dependence.is_exact else f"At least {dependence.jobs}"
        jobs = "waiting job" if dependence.jobs == 1 and dependence.is_exact else "waiting jobs"
        message = f"{number} {jobs} can only run on this node, and will wait until it is uncordoned."
        effects.append(Effect(code="jobs_without_node", message=message, count=dependence.jobs))
    if dependence.is_last:
        effects.append(Effect(code="last_node", message="No other node takes new jobs now."))
    return effects


def _describe_running_job(command: RunNodeAction, progress: float) -> Effect:
    if command.order is NodeAction.CORDON:
        return Effect(code="job_continues", message="The running job continues on this node.", count=1)
    when = f"after {command.grace_s:g} s, unless it has ended by then" if command.grace_s else "at once"
    message = (
        f"The running job goes back to the queue {when}. "
        f"No attempt is used up; its progress ({progress:.0f} %) is lost."
    )
    return Effect(code="job_requeued", message=message, count=1)


def _describe_clear(node: NodeStatus) -> Effect:
    if node.state is NodeState.OFFLINE:
        message = "The node is offline. Nothing is removed unless it comes back within a minute."
        return Effect(code="node_offline", message=message)
    if node.occupied is not None and node.occupied.by is OccupancyCause.DEAD_WORKER:
        message = "ComfyUI on this node no longer runs anything, and clearing does not help. Restart ComfyUI."
        return Effect(code="restart_needed", message=message)
    if node.occupied is None and node.state is not NodeState.OCCUPIED:
        return Effect(code=NO_EFFECT, message="The node has reported no prompts of other clients.")
    message = (
        "Prompts of other clients are removed from the node, including a running one. These clients are not notified."
    )
    return Effect(code="prompts_removed", message=message)
