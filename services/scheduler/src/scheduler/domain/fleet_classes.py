"""The node classes of a whole fleet, page by page."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.class_decision import ClassDecision, ClassPolicy
from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.policy import TenantPolicy
from contracts.graph_policy.registry import InputRole
from contracts.scheduler.fleet import ClassPage, FleetClass, ReadClasses

MAX_BYTES = 256 * 1024  # of a page; NATS takes a megabyte
MAX_OPTIONS = 1000

Classes = Mapping[str, ClassSpec]


def page_of(catalogs: Sequence[Classes], query: ReadClasses, policy: TenantPolicy | None = None) -> ClassPage:
    """The page that is asked for, by name; it ends early rather than to be too large, but never before one class.

    With a policy, only classes that it allows, unless the query also wants those that it refuses.
    """
    names = sorted({name for classes in catalogs for name in classes})
    if query.name is not None:
        names = [name for name in names if name == query.name]
    decisions: dict[str, ClassDecision] = {}
    judge = ClassPolicy(policy) if policy is not None else None
    if judge is not None:
        specs = {name: classes[name] for classes in reversed(catalogs) for name in classes}
        decisions = {name: judge.decide(name, specs[name]) for name in names}
        names = [name for name in names if query.refused or decisions[name].allowed]
    names = names[bisect_right(names, query.after) if query.after is not None else 0 :]
    page: list[FleetClass] = []
    size = 0
    for name in names[: query.limit]:
        specs_of = [classes[name] for classes in catalogs if name in classes]
        folders = judge is not None and judge.allows_explicitly(name, specs_of[0])
        spec = _joined(name, specs_of, shows_folders=folders)
        found = FleetClass(name=name, spec=spec, refused=_refusal(decisions.get(name)))
        size += len(found.model_dump_json())
        if page and size > MAX_BYTES:
            break
        page.append(found)
    return ClassPage(classes=tuple(page), more=len(page) < len(names))


def _refusal(decision: ClassDecision | None) -> str | None:
    return None if decision is None or decision.allowed else f"{decision.reason} {decision.who_can_allow}"


def _joined(class_type: str, specs: Sequence[ClassSpec], *, shows_folders: bool) -> ClassSpec:
    """A class as one node has it, with the options of all; folders of the node only where they may be used."""
    first = specs[0]
    hidden = {InputRole.FILE} if shows_folders else {InputRole.FILE, InputRole.FOLDER}
    roles = ClassRoles(class_type, first)
    inputs = {
        name: accepted.model_copy(update={"options": None})
        if roles.role_of(name) in hidden
        else _with_options(accepted, [spec.inputs[name] for spec in specs if name in spec.inputs])
        for name, accepted in first.inputs.items()
    }
    return first.model_copy(update={"inputs": inputs})


def _with_options(accepted: InputSpec, everywhere: Sequence[InputSpec]) -> InputSpec:
    if accepted.options is None:
        return accepted
    options = dict.fromkeys(option for one in everywhere for option in one.options or ())
    return accepted.model_copy(update={"options": tuple(options)[:MAX_OPTIONS]})
