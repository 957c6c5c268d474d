"""The OpenAPI document is complete for each operation."""

import re
from functools import cache
from typing import Any

import jsonschema
import pytest
from fastapi.routing import APIRoute

from contracts.registry import REFUSALS
from contracts.wire.errors import HTTP_STATUS
from gateway.api.v1.problems import list_declared_codes
from generate.errors import list_refusals
from tests.kit.gateway_document import gateway_app

PROBLEM = "application/problem+json"
NOWHERE = (
    "/register",
    "/ws-tickets",
    "/login-links",
    "/{workflow_name}",
)  # the created resource has no URL, or the URL of the request
HEALTH = ("/healthz", "/readyz")
CODES = {refusal.code: str(HTTP_STATUS[refusal.kind]) for refusal in (*REFUSALS, *list_refusals("gateway"))}


def document() -> dict[str, Any]:
    return gateway_app().openapi()


def operations() -> list[Any]:
    return [
        pytest.param(path, operation, id=f"{method.upper()} {path}")
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


each_operation = pytest.mark.parametrize(("path", "operation"), operations())


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(document(), format_checker=jsonschema.FormatChecker())


def valid(value: Any, schema: dict[str, Any]) -> None:
    validator().evolve(schema=schema).validate(value)


def examples(content: dict[str, Any]) -> list[Any]:
    named = [example["value"] for example in content.get("examples", {}).values()]
    return named + ([content["example"]] if "example" in content else [])


@each_operation
def test_operations_have_a_summary_and_tag_and_parameters_a_description(path: str, operation: dict[str, Any]) -> None:
    assert 5 <= len(operation["summary"]) <= 80, path
    assert len(operation["tags"]) == 1
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "path" and parameter["name"] != "limit":
            assert parameter.get("description"), parameter["name"]


@each_operation
def test_request_body_examples_match_their_schema(path: str, operation: dict[str, Any]) -> None:
    body = operation.get("requestBody")
    if body is None:
        return
    assert {"400", "408", "413", "415", "422"} <= operation["responses"].keys()
    json = body["content"].get("application/json")
    if json is not None:
        assert examples(json), path
        for example in examples(json):
            valid(example, json["schema"])


@each_operation
def test_responses_have_descriptions_schemas_and_headers(path: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        assert response["description"] or (path in HEALTH), status
        headers = response["headers"].keys()
        assert "X-Request-Id" in headers
        assert ("RateLimit" in headers) == (path not in HEALTH)
        assert ("Retry-After" in headers) == (status in {"429", "503"})
        assert ("WWW-Authenticate" in headers) == (status == "401")
        assert (
            status != "201"
            or "Location" in headers
            or path.endswith(("/register", "/ws-tickets", "/login-links", "/{workflow_name}"))
        )
        json = response.get("content", {}).get("application/json")
        if json is not None:
            (example,) = examples(json)
            valid(example, json["schema"])


@each_operation
def test_problem_responses_list_every_possible_code(path: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if status < "400" or path in HEALTH:
            continue
        problem = response["content"][PROBLEM]
        assert problem["examples"], status
        for code, example in problem["examples"].items():
            valid(example["value"], problem["schema"])
            assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))
            assert CODES.get(code, status) == status
            assert code in CODES or code.startswith("http.")
            assert not re.search(r"[{}]", example["value"]["detail"])


def test_each_refusal_of_the_gateway_is_declared_by_a_route() -> None:
    routes = [route for route in gateway_app().router.routes if isinstance(route, APIRoute)]
    declared = set().union(*(list_declared_codes(route.responses) for route in routes))
    assert {refusal.code for refusal in list_refusals("gateway")} <= declared
