"""Rules about node classes and packs, for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from chassis.messaging.bus import Bus
from contracts.auth.class_rules import (
    CHANGE_CLASS_RULE,
    READ_CLASS_RULES,
    ChangeClassRule,
    ReadClassRules,
    RuleVerdict,
    TooManyClassRules,
)
from contracts.graph_policy.policy import NAME_MAX, PRINTABLE_PATTERN
from gateway.admin.access_requests import ClassRuleRequest
from gateway.admin.access_schemas import ClassRulesBody, build_class_rules_body
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Admin
from gateway.edge.errors import NoSuchPath
from gateway.edge.json_body import validate_model
from gateway.edge.request_body import read_json_body

_ALLOW = {"verdict": "allow"}

Body = Annotated[Any, Depends(read_json_body)]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=NAME_MAX,
        pattern=PRINTABLE_PATTERN,
        description="Percent-encoded, a slash as %2F. It does not have to exist on a node yet.",
    ),
]


def create_router(*, bus: Bus) -> APIRouter:
    """Return the routes of class rules. ``:path`` permits names with a slash, which some packs have."""
    routes = APIRouter(prefix="/api/v1/admin/class-rules", tags=["admin"])

    def parse_verdict(body: Any) -> RuleVerdict:
        return RuleVerdict(validate_model(ClassRuleRequest, body).verdict)

    async def change_rule(
        principal: Admin,
        request: Request,
        verdict: RuleVerdict,
        *,
        class_name: str | None = None,
        pack: str | None = None,
    ) -> ClassRulesBody:
        command = ChangeClassRule(class_name=class_name, pack=pack, verdict=verdict, ip=request.state.client_ip)
        return build_class_rules_body(await bus.request(CHANGE_CLASS_RULE, command, tenant=principal.tenant))

    @routes.get("", summary="Read the class rules", responses=declare_problems())
    async def read_class_rules(principal: Admin) -> ClassRulesBody:
        return build_class_rules_body(await bus.request(READ_CLASS_RULES, ReadClassRules(), tenant=principal.tenant))

    @routes.put(
        "/classes/{class_name:path}",
        summary="Allow or deny a node class",
        openapi_extra=describe_request_body(ClassRuleRequest, example=_ALLOW),
        responses=declare_problems(NoSuchPath, TooManyClassRules, *JSON_BODY),
    )
    async def set_class_rule(principal: Admin, class_name: Name, body: Body, request: Request) -> ClassRulesBody:
        """Applies to every tenant, whatever its graph policy, within a second. Idempotent."""
        return await change_rule(principal, request, parse_verdict(body), class_name=class_name)

    @routes.put(
        "/packs/{pack:path}",
        summary="Allow or deny all node classes of a pack",
        openapi_extra=describe_request_body(ClassRuleRequest, example=_ALLOW),
        responses=declare_problems(NoSuchPath, TooManyClassRules, *JSON_BODY),
    )
    async def set_pack_rule(principal: Admin, pack: Name, body: Body, request: Request) -> ClassRulesBody:
        """A pack is the Python module of its classes, such as ``custom_nodes.my_pack``. Idempotent."""
        return await change_rule(principal, request, parse_verdict(body), pack=pack)

    @routes.delete(
        "/classes/{class_name:path}",
        summary="Remove the rule about a node class",
        responses=declare_problems(NoSuchPath),
    )
    async def delete_class_rule(principal: Admin, class_name: Name, request: Request) -> ClassRulesBody:
        """From then on, the rule in the settings applies; if there is none, each tenant's graph policy. Idempotent."""
        return await change_rule(principal, request, RuleVerdict.DEFAULT, class_name=class_name)

    @routes.delete("/packs/{pack:path}", summary="Remove the rule about a pack", responses=declare_problems(NoSuchPath))
    async def delete_pack_rule(principal: Admin, pack: Name, request: Request) -> ClassRulesBody:
        """From then on, the rule in the settings applies; if there is none, each tenant's graph policy. Idempotent."""
        return await change_rule(principal, request, RuleVerdict.DEFAULT, pack=pack)

    return routes
