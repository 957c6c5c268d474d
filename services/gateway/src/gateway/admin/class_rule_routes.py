"""Rules about node classes and packs, for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from chassis.messaging.bus import Bus
from contracts.auth.class_rules import CHANGE_CLASS_RULE, READ_CLASS_RULES, ChangeClassRule, ReadClassRules, RuleVerdict
from contracts.graph_policy.policy import NAME_MAX, PRINTABLE
from gateway.admin.access_requests import ClassRuleRequest
from gateway.admin.access_schemas import ClassRulesBody, present_rules
from gateway.api.v1.openapi import documented
from gateway.api.v1.problems import BODY, problems
from gateway.edge.access import Admin
from gateway.edge.json_body import read_model
from gateway.edge.request_body import json_body

_ALLOW = {"verdict": "allow"}

Body = Annotated[Any, Depends(json_body)]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=NAME_MAX,
        pattern=PRINTABLE,
        description="Percent-encoded, a slash as %2F. A name that no node has is accepted: such a node may join later.",
    ),
]


def router(*, bus: Bus) -> APIRouter:
    """The routes of class rules. ``:path`` lets a name hold a slash, as those of some packs do."""
    routes = APIRouter(prefix="/api/v1/admin/class-rules", tags=["admin"])

    def asked(body: Any) -> RuleVerdict:
        return RuleVerdict(read_model(ClassRuleRequest, body).verdict)

    async def change(
        who: Admin, request: Request, verdict: RuleVerdict, *, class_name: str | None = None, pack: str | None = None
    ) -> ClassRulesBody:
        command = ChangeClassRule(class_name=class_name, pack=pack, verdict=verdict, ip=request.state.client_ip)
        return present_rules(await bus.request(CHANGE_CLASS_RULE, command, tenant=who.tenant))

    @routes.get("", summary="Read the rules about node classes", responses=problems())
    async def read(who: Admin) -> ClassRulesBody:
        return present_rules(await bus.request(READ_CLASS_RULES, ReadClassRules(), tenant=who.tenant))

    @routes.put(
        "/classes/{class_name:path}",
        summary="Allow or deny a node class",
        openapi_extra=documented(ClassRuleRequest, example=_ALLOW),
        responses=problems(404, 409, *BODY),
    )
    async def put_class(who: Admin, class_name: Name, body: Body, request: Request) -> ClassRulesBody:
        """For every tenant, whatever its graph policy; holds within a second. Idempotent."""
        return await change(who, request, asked(body), class_name=class_name)

    @routes.put(
        "/packs/{pack:path}",
        summary="Allow or deny all node classes of a pack",
        openapi_extra=documented(ClassRuleRequest, example=_ALLOW),
        responses=problems(404, 409, *BODY),
    )
    async def put_pack(who: Admin, pack: Name, body: Body, request: Request) -> ClassRulesBody:
        """A pack is the Python module of its classes, such as ``custom_nodes.my_pack``. Idempotent."""
        return await change(who, request, asked(body), pack=pack)

    @routes.delete(
        "/classes/{class_name:path}", summary="Remove the rule about a node class", responses=problems(404, 422)
    )
    async def delete_class(who: Admin, class_name: Name, request: Request) -> ClassRulesBody:
        """Each tenant's graph policy decides again, unless the settings have a rule. Idempotent."""
        return await change(who, request, RuleVerdict.DEFAULT, class_name=class_name)

    @routes.delete("/packs/{pack:path}", summary="Remove the rule about a pack", responses=problems(404, 422))
    async def delete_pack(who: Admin, pack: Name, request: Request) -> ClassRulesBody:
        """Each tenant's graph policy decides again, unless the settings have a rule. Idempotent."""
        return await change(who, request, RuleVerdict.DEFAULT, pack=pack)

    return routes
