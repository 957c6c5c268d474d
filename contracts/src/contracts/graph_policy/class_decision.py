"""Decides whether a tenant's policy allows a node class."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.catalog import ClassSpec
from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.graph_policy.registry import (
    STRICT_REASONS,
    TRAITS_REFUSED_WHEN_OPEN,
    StockClass,
    find_stock_class,
    is_stock_module,
)


@dataclass(frozen=True, slots=True)
class ClassDecision:
    """Whether a tenant may use a class; if not, the reason and what the tenant can do, each as a sentence."""

    allowed: bool
    reason: str = ""
    advice: str = ""


ALLOWED = ClassDecision(allowed=True)


def decide_class(class_type: str, spec: ClassSpec, policy: TenantPolicy) -> ClassDecision:
    """Decide whether the policy allows a class of a node's catalog.

    Precedence: an operator's denial, then an operator's allowance, then the mode of the policy.
    """
    return ClassPolicy(policy).decide(class_type, spec)


class ClassPolicy:
    """Applies a policy to many classes; see ``decide_class``."""

    def __init__(self, policy: TenantPolicy) -> None:
        self.mode = policy.mode
        rules: ClassRules = policy.rules
        self._allowed, self._denied = frozenset(rules.allowed_classes), frozenset(rules.denied_classes)
        self._allowed_packs, self._denied_packs = frozenset(rules.allowed_packs), frozenset(rules.denied_packs)

    def decide(self, class_type: str, spec: ClassSpec) -> ClassDecision:
        if class_type in self._denied or any(
            pack in self._denied_packs for pack in _iterate_module_and_parents(spec.module)
        ):
            return ClassDecision(
                allowed=False,
                reason="An operator denied it.",
                advice="Ask the operator of this API to remove that rule.",
            )
        if self.allows_explicitly(class_type, spec):
            return ALLOWED
        stock = find_stock_class(class_type, spec.module)
        reason = _find_strict_reason(spec, stock) if self.mode is GraphPolicy.STRICT else _find_open_reason(stock)
        if reason is None:
            return ALLOWED
        pack = f" or its pack {spec.module}" if spec.module else ""
        advice = f"Ask the operator of this API to allow the class{pack}."
        return ClassDecision(allowed=False, reason=reason, advice=advice)

    def allows_explicitly(self, class_type: str, spec: ClassSpec) -> bool:
        """Whether an operator allowed the class or its pack."""
        if class_type in self._allowed or spec.module in self._allowed_packs:
            return True
        # A custom pack's name can contain a dot, so only stock modules have parent packages.
        return is_stock_module(spec.module) and any(
            pack in self._allowed_packs for pack in _iterate_module_and_parents(spec.module)
        )


def _find_strict_reason(spec: ClassSpec, stock: StockClass | None) -> str | None:
    if stock is not None:
        return None if stock.unsafe_trait is None else STRICT_REASONS[stock.unsafe_trait]
    if is_stock_module(spec.module):
        return "It is a class of ComfyUI that has not been reviewed yet."
    return "It is not one of ComfyUI's own classes, so what it does has not been reviewed."


def _find_open_reason(stock: StockClass | None) -> str | None:
    if stock is None:
        return None
    return next(
        (STRICT_REASONS[trait] for trait in STRICT_REASONS if trait in stock.traits & TRAITS_REFUSED_WHEN_OPEN), None
    )


def _iterate_module_and_parents(module: str) -> Iterator[str]:
    """Return the module and its parent packages: "comfy_extras.nodes_train", then "comfy_extras"."""
    while module:
        yield module
        module = module.rpartition(".")[0]
