"""Rules by which operators allow or deny node classes and packs."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator

from contracts.auth.fields import Ip
from contracts.auth.rpc import declare_auth_rpc
from contracts.graph_policy.policy import ClassName, ClassRules, OperatorRules, PackName
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel
from contracts.wire.topic import MessageKind, Topic


class RuleVerdict(StrEnum):
    """Whether a rule allows or denies a class or pack. ``DEFAULT`` removes the rule."""

    ALLOW = "allow"
    DENY = "deny"
    DEFAULT = "default"


class ReadClassRules(StrictModel):
    """List the rules about node classes that admins created."""


class ChangeClassRule(StrictModel):
    """Create, change or remove the rule about one class or one pack. Exactly one of the two is set."""

    class_name: ClassName | None = None
    pack: PackName | None = None
    verdict: RuleVerdict
    ip: Ip | None = None

    @model_validator(mode="after")
    def _check_exactly_one_name(self) -> Self:
        if (self.class_name is None) == (self.pack is None):
            raise ValueError("Send exactly one of class_name and pack.")
        return self


class TooManyClassRules(Refusal):
    """There are {limit} class rules, which is the maximum. Remove some first, or allow or deny a whole pack."""

    kind, code = ErrorKind.CONFLICT, "auth.class_rules.too_many"


READ_CLASS_RULES = declare_auth_rpc(
    "class_rules",
    "read",
    ReadClassRules,
    OperatorRules,
    "Read the rules about node classes.",
    producers=("gateway", "scheduler"),
    timeout_s=1.5,
)
CHANGE_CLASS_RULE = declare_auth_rpc(
    "class_rule", "change", ChangeClassRule, OperatorRules, "An admin changes a rule about a node class or a pack."
)
CLASS_RULES_CHANGED = Topic(
    kind=MessageKind.LIVE,
    owner="auth",
    noun="class_rules",
    verb="changed",
    payload=ClassRules,
    description="Operators changed the rules about node classes.",
    producers=("auth",),
    consumers=("scheduler",),
)

TOPICS = (READ_CLASS_RULES, CHANGE_CLASS_RULE, CLASS_RULES_CHANGED)
