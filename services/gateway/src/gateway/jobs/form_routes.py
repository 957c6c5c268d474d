"""Describes workflows for clients that show them as forms."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from chassis.messaging.bus import Bus
from contracts.scheduler.fleet import READ_CLASSES, ReadClasses
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from gateway.api.v1.openapi import describe_request_body
from gateway.api.v1.problems import JSON_BODY, declare_problems
from gateway.edge.access import Reader
from gateway.edge.request_body import read_workflow_body
from gateway.fleet.errors import NoModel
from gateway.fleet.service import FleetView
from gateway.jobs.form_schemas import BuiltinWorkflowBody, BuiltinWorkflowsBody, WorkflowFormBody, build_form_body
from gateway.jobs.routes import SUBMISSION_EXAMPLES
from gateway.jobs.submission_openapi import build_submission_schema
from gateway.jobs.submit import JobSubmitter
from gateway.workflows.builtin.nodes import CHECKPOINT_INPUT
from gateway.workflows.builtin.parameters import BUILTIN_WORKFLOWS, build_parameters_schema
from gateway.workflows.errors import BadParameters, UnknownWorkflow
from gateway.workflows.submission_formats import parse_submission

_SAMPLER_CLASS = "KSampler"


def create_router(*, bus: Bus, submitter: JobSubmitter, fleet: FleetView) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

    @routes.post(
        "/inputs",
        summary="Describe the inputs of a workflow without running it",
        openapi_extra=describe_request_body(build_submission_schema(), examples=SUBMISSION_EXAMPLES),
        responses=declare_problems(InvalidWorkflow, UnknownWorkflow, BadParameters, NoModel, EmptyFleet, *JSON_BODY),
    )
    async def describe_inputs(
        tenant: Reader, body: Annotated[Any, Depends(read_workflow_body)], request: Request
    ) -> WorkflowFormBody:
        """Takes the body of a submission, also with the name of a built-in workflow as `workflow_name`.

        Answers with the graph in API format and the inputs that have a literal value. Change values in `graph` and
        submit it as `workflow`, or save it with `parameters`: for each input, its `name` with
        `{"node": node_id, "input": input, "title": title}` and `type`, `minimum`, `maximum` and `enum` (up to 100
        values) of its `schema`.
        """
        graph, form = await submitter.describe_inputs(
            parse_submission(body), tenant=tenant, is_large=request.state.is_large
        )
        return build_form_body(graph, form)

    @routes.get("/builtin", summary="List the built-in workflows with their parameters", responses=declare_problems())
    async def list_builtin_workflows(tenant: Reader) -> BuiltinWorkflowsBody:
        """`parameters` is the JSON Schema of the fields of a submission, with the models and samplers of the fleet.

        Without an `enum` a field takes any text; so do fields of a fleet without nodes. At most 500 models are listed.
        """
        snapshot = await fleet.read_fleet(tenant)
        page = await bus.request(READ_CLASSES, ReadClasses(name=_SAMPLER_CLASS), tenant=tenant)
        inputs = page.classes[0].spec.inputs if page.classes else {}
        samplers = {name: inputs[name].options or () for name in ("sampler_name", "scheduler") if name in inputs}
        choices = {
            "model": snapshot.models.get(CHECKPOINT_INPUT, ()),
            "sampler": samplers.get("sampler_name", ()),
            "scheduler": samplers.get("scheduler", ()),
        }
        defaults = {"model": snapshot.default_models[0]} if snapshot.default_models else {}
        return BuiltinWorkflowsBody(
            workflows=[
                BuiltinWorkflowBody(
                    name=workflow.name,
                    title=workflow.title,
                    description=workflow.description,
                    parameters=build_parameters_schema(workflow, choices, defaults),
                )
                for workflow in BUILTIN_WORKFLOWS
            ]
        )

    return routes
