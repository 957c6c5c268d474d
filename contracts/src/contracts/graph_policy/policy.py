"""The policy that decides which node classes a tenant's graphs may use."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.wire.model import TolerantModel

NAME_MAX = 200  # characters of a class or pack name
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]+$"  # no control character: names reach logs, terminals and PostgreSQL
ClassName = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=PRINTABLE)]
PackName = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=PRINTABLE)]


class GraphPolicy(StrEnum):
    """How much a tenant's graphs may do.

    ``STRICT`` allows reviewed stock classes that cannot reach beyond their job. ``OPEN`` allows every class but those
    that use the network or write models. Operators allow and deny classes and packs on top of either.
    """

    STRICT = "strict"
    OPEN = "open"


class ClassRules(TolerantModel):
    """What operators decided about classes and packs, for every tenant. A denial wins over an allowance.

    Attributes:
        allowed_packs, denied_packs: packs as a node's catalog names their modules, e.g. ``custom_nodes.my_pack``
            or ``comfy_extras.nodes_train``.
    """

    allowed_classes: tuple[ClassName, ...] = ()
    denied_classes: tuple[ClassName, ...] = ()
    allowed_packs: tuple[PackName, ...] = ()
    denied_packs: tuple[PackName, ...] = ()


class OperatorRules(ClassRules):
    """The rules in force: those that admins made, and those of auth's settings, which the API cannot change.

    Attributes:
        from_settings: the part of the rules that comes from the settings.
    """

    from_settings: ClassRules = ClassRules()


class TenantPolicy(TolerantModel):
    """The policy in force for one tenant: its tier's mode and the operators' rules."""

    mode: GraphPolicy = GraphPolicy.STRICT
    rules: ClassRules = ClassRules()
