"""The node classes of a whole fleet, page by page."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler import ClassPage, FleetClass, ReadClasses

MAX_BYTES = 256 * 1024  # of a page; NATS takes a megabyte
MAX_OPTIONS = 1000

Classes = Mapping[str, ClassSpec]


def page_of(catalogs: Sequence[Classes], query: ReadClasses) -> ClassPage:
    """The page that is asked for, by name; it ends early rather than to be too large, but never before one class."""
    names = sorted({name for classes in catalogs for name in classes})
    if query.name is not None:
        names = [name for name in names if name == query.name]
    names = names[bisect_right(names, query.after) if query.after is not None else 0 :]
    page: list[FleetClass] = []
    size = 0
    for name in names[: query.limit]:
        found = FleetClass(name=name, spec=_joined([classes[name] for classes in catalogs if name in classes]))
        size += len(found.model_dump_json())
        if page and size > MAX_BYTES:
            break
        page.append(found)
    return ClassPage(classes=tuple(page), more=len(page) < len(names))


def _joined(specs: Sequence[ClassSpec]) -> ClassSpec:
    """A class as one node has it, with the options of all."""
    first = specs[0]
    inputs = {
        name: _with_options(accepted, [spec.inputs[name] for spec in specs if name in spec.inputs])
        for name, accepted in first.inputs.items()
    }
    return first.model_copy(update={"inputs": inputs})


def _with_options(accepted: InputSpec, everywhere: Sequence[InputSpec]) -> InputSpec:
    if accepted.options is None:
        return accepted
    options = dict.fromkeys(option for one in everywhere for option in one.options or ())
    return accepted.model_copy(update={"options": tuple(options)[:MAX_OPTIONS]})
