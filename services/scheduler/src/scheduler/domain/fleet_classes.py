"""Pages through the node classes of the whole fleet."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.class_decision import ClassDecision, ClassPolicy
from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.policy import TenantPolicy
from contracts.graph_policy.registry import InputRole
from contracts.scheduler.fleet import ClassPage, FleetClass, ReadClasses

MAX_BYTES = 256 * 1024  # of a page; NATS allows messages of one megabyte
MAX_OPTIONS = 1000

Classes = Mapping[str, ClassSpec]


def build_class_page(catalogs: Sequence[Classes], query: ReadClasses, policy: TenantPolicy | None = None) -> ClassPage:
    """Build a page of classes, ordered by name.

    The page ends early at ``MAX_BYTES``, but has at least one class. With a policy it has only allowed classes, unless
    the query also asks for refused ones.
    """
    names = sorted({name for classes in catalogs for name in classes})
    if query.name is not None:
        names = [name for name in names if name == query.name]
    decisions: dict[str, ClassDecision] = {}
    class_policy = ClassPolicy(policy) if policy is not None else None
    if class_policy is not None:
        specs = {name: classes[name] for classes in reversed(catalogs) for name in classes}
        decisions = {name: class_policy.decide(name, specs[name]) for name in names}
        names = [name for name in names if query.refused or decisions[name].allowed]
    names = names[bisect_right(names, query.after) if query.after is not None else 0 :]
    page: list[FleetClass] = []
    size = 0
    for name in names[: query.limit]:
        specs_of_class = [classes[name] for classes in catalogs if name in classes]
        shows_folders = class_policy is not None and class_policy.allows_explicitly(name, specs_of_class[0])
        spec = _merge_class(name, specs_of_class, shows_folders=shows_folders)
        found = FleetClass(name=name, spec=spec, refused=_describe_refusal(decisions.get(name)))
        size += len(found.model_dump_json())
        if page and size > MAX_BYTES:
            break
        page.append(found)
    return ClassPage(classes=tuple(page), more=len(page) < len(names))


def _describe_refusal(decision: ClassDecision | None) -> str | None:
    return None if decision is None or decision.allowed else f"{decision.reason} {decision.advice}"


def _merge_class(class_type: str, specs: Sequence[ClassSpec], *, shows_folders: bool) -> ClassSpec:
    """Merge a class: the declaration of the first node with the options of all nodes.

    Names of files on the nodes are hidden, and so are names of folders unless ``shows_folders``.
    """
    first = specs[0]
    hidden = {InputRole.FILE} if shows_folders else {InputRole.FILE, InputRole.FOLDER}
    roles = ClassRoles(class_type, first)
    inputs = {
        name: accepted.model_copy(update={"options": None})
        if roles.role_of(name) in hidden
        else _merge_options(accepted, [spec.inputs[name] for spec in specs if name in spec.inputs])
        for name, accepted in first.inputs.items()
    }
    return first.model_copy(update={"inputs": inputs})


def _merge_options(accepted: InputSpec, declarations: Sequence[InputSpec]) -> InputSpec:
    if accepted.options is None:
        return accepted
    options = dict.fromkeys(option for declaration in declarations for option in declaration.options or ())
    return accepted.model_copy(update={"options": tuple(options)[:MAX_OPTIONS]})
