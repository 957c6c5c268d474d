"""The policy that decides which node classes a tenant's graphs may use."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.wire.model import TolerantModel

NAME_MAX = 200  # maximum length of a class or pack name, characters
PRINTABLE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$"  # no control characters: names appear in logs, terminals and PostgreSQL
ClassName = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=PRINTABLE_PATTERN)]
PackName = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=PRINTABLE_PATTERN)]


class GraphPolicy(StrEnum):
    """The mode of a policy.

    ``strict`` allows reviewed stock classes that cannot affect anything beyond their job. ``open`` allows every class
    except those that use the network or write models. Operators can allow and deny classes and packs in both modes.
    """

    STRICT = "strict"
    OPEN = "open"


class ClassRules(TolerantModel):
    """Operator rules about classes and packs, for every tenant. A denial takes precedence over an allowance.

    Attributes:
        allowed_packs, denied_packs: packs as a node's catalog names their modules, e.g. ``custom_nodes.my_pack`` or
            ``comfy_extras.nodes_train``.
    """

    allowed_classes: tuple[ClassName, ...] = ()
    denied_classes: tuple[ClassName, ...] = ()
    allowed_packs: tuple[PackName, ...] = ()
    denied_packs: tuple[PackName, ...] = ()


class OperatorRules(ClassRules):
    """The effective rules: those that admins created, and those from auth's settings, which the API cannot change.

    Attributes:
        from_settings: the rules that come from the settings.
    """

    from_settings: ClassRules = ClassRules()


class TenantPolicy(TolerantModel):
    """The effective policy of one tenant: its tier's mode and the operator rules."""

    mode: GraphPolicy = GraphPolicy.STRICT
    rules: ClassRules = ClassRules()
