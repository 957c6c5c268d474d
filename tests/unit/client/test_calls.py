import inspect
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from comfyfleet_client import AsyncClient, Client, FieldError, access_calls, calls, workflow_calls
from comfyfleet_client.call import quote_segment
from comfyfleet_client.errors import UnreadableResponse
from comfyfleet_client.json_values import build_json_value, from_json
from comfyfleet_client.results import Account, Job, Limits, Me
from comfyfleet_client.setup import build_submission, normalize_url

JOB: dict[str, Any] = {
    "job_id": "01a2",
    "status": "completed",
    "progress": 100,
    "created_at": "2026-11-23T09:00:00Z",
    "urls": dict.fromkeys(("self", "events", "ws", "result", "cancel"), "https://api.example"),
    "outputs": [],
    "error": None,
}


def test_call_describes_the_http_request() -> None:
    call = calls.submit_job({"prompt": "a cat", "width": 64, "seed": None}, idempotency_key="k1")
    assert (call.request.method, call.request.path) == ("POST", "/jobs")
    assert call.request.body == {"prompt": "a cat", "width": 64}
    assert call.request.headers == {"Idempotency-Key": "k1"}
    assert calls.list_jobs(status="failed", limit=5).request.parameters == {"status": "failed", "limit": "5"}
    assert calls.list_users(is_active=False).request.parameters == {"is_active": "false"}
    assert calls.change_user("u1", limits={"queue_cap": None}).request.body == {"limits": {"queue_cap": None}}
    assert calls.change_user("u1", limits={}).request.body == {"limits": {}}
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    key = calls.create_key("box", ["jobs:read"], ends, idempotency_key="k2").request
    assert key.body == {"name": "box", "scopes": ["jobs:read"], "expires_at": "2027-01-01T00:00:00+00:00"}


def test_only_idempotent_calls_are_repeatable() -> None:
    assert calls.submit_job({}, idempotency_key="k").request.repeatable
    assert calls.create_key("n", None, None, idempotency_key="k").request.repeatable
    assert not calls.register("a", "b", "c").request.repeatable
    assert not calls.change_password("a", "b").request.repeatable


@pytest.mark.parametrize("text", ["a/b", "..", ".", "", "a?b", "a#b", "a b", "%2e"])
def test_any_id_is_escaped_into_one_path_segment(text: str) -> None:
    written = quote_segment(text)
    assert written
    assert not set(written) & set("/?# ")
    assert written not in {".", ".."}
    assert calls.read_job(text).request.path == f"/jobs/{written}"


def test_unknown_response_fields_are_ignored() -> None:
    job = from_json(Job, JOB | {"new_field": 1})
    assert (job.progress, job.created_at, job.outputs) == (100.0, datetime(2026, 11, 23, 9, tzinfo=UTC), ())
    assert (job.ended, job.succeeded, job.timings.total_seconds) == (True, True, None)
    assert build_json_value(job)["created_at"] == "2026-11-23T09:00:00Z"
    assert from_json(Job, build_json_value(job)) == job


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "x",
        {},
        JOB | {"status": 3},
        JOB | {"created_at": "soon"},
        JOB | {"outputs": [1]},
        JOB | {"urls": None},
    ],
)
def test_malformed_response_raises_a_clear_error(wrong: Any) -> None:
    with pytest.raises(UnreadableResponse, match="not a valid Job"):
        from_json(Job, wrong)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("RegexMatch", "RegexMatch"),
        ("Wildcard //Inspire", "Wildcard%20%2F%2FInspire"),
        ("custom_nodes.my_pack", "custom_nodes.my_pack"),
        ("..", "%2E%2E"),
        ("a?b#c%", "a%3Fb%23c%25"),
    ],
)
def test_any_class_name_is_escaped_into_one_path_segment(name: str, path: str) -> None:
    request = access_calls.set_class_rule("classes", name, "deny").request
    assert (request.method, request.path, request.body) == (
        "PUT",
        f"/admin/class-rules/classes/{path}",
        {"verdict": "deny"},
    )
    assert access_calls.reset_class_rule("classes", name).request.path == request.path
    assert httpx.URL(f"https://api.example/api/v1{request.path}").raw_path.decode().endswith(f"/classes/{path}")


def test_invite_creation_is_not_repeated_and_its_repr_hides_the_secret() -> None:
    call = access_calls.create_invite("pro", 3)
    assert not call.request.repeatable
    assert call.request.body == {"tier": "pro", "expires_in_days": 3}
    times = {"created_at": "2026-11-23T09:00:00Z", "expires_at": "2026-11-26T09:00:00Z"}
    made = call.parse({"id": "i", "invite": "cfi_secret", "tier": "pro", "created_by": None} | times)
    assert made.invite == "cfi_secret"
    assert "secret" not in repr(made)


def test_missing_graph_policy_defaults_to_strict() -> None:
    assert from_json(Limits, {"graph_policy": "open", "run_seconds": 60}).run_seconds == 60.0
    assert from_json(Limits, {}).graph_policy == "strict"


def test_users_are_parsed_with_their_limits() -> None:
    user = {
        "id": "u", "username": "ada", "email": "a@b", "tier": "free", "role": "user", "is_active": True,
        "created_at": "2026-11-23T09:00:00Z", "limits": {"images_per_day": None, "weight": 2},
    }  # fmt: skip
    used = {"used_today": 1, "resets_at": "2026-11-24T00:00:00Z", "running": 0, "queued": 0, "left_today": None}
    me = from_json(Me, user | used)
    assert (me.limits.images_per_day, me.limits.weight, me.left_today) == (None, 2.0, None)
    assert from_json(Account, user | {"own_limits": ["weight"]}).own_limits == ("weight",)


def test_submission_requires_exactly_one_kind_of_content() -> None:
    assert build_submission("a cat", None, {"steps": 4}) == {"prompt": "a cat", "steps": 4}
    assert build_submission(None, None, {"workflow_name": "w", "version": 2}) == {"workflow_name": "w", "version": 2}
    for prompt, workflow, more in ((None, None, {}), ("a cat", {}, {}), ("a cat", None, {"workflow_name": "w"})):
        with pytest.raises(ValueError, match="exactly one"):
            build_submission(prompt, workflow, more)


def test_validation_is_parsed_with_errors_and_warnings() -> None:
    wrong = {"pointer": "/workflow/1", "code": "unknown_node_class", "message": "No.", "node_id": "1"}
    body = {"valid": False, "errors": [wrong | {"allowed": ["EmptyImage"]}], "warnings": [], "random_seeds": []}
    found = workflow_calls.validate({"workflow": {}}).parse(body)
    assert (found.valid, found.images, [str(one) for one in found.errors]) == (
        False, None, ["node 1: No. (valid: EmptyImage)"]
    )  # fmt: skip
    drawn = {"random_seeds": [{"node_id": "3", "input": "seed"}]}
    found = workflow_calls.validate({}).parse({"valid": True, "images": 2} | drawn)
    assert (found.valid, found.images, found.random_seeds[0].node_id) == (True, 2, "3")


def test_error_text_lists_valid_values_only_once() -> None:
    assert str(FieldError('Valid: "a", "b".', allowed=("a", "b"))) == 'Valid: "a", "b".'
    assert str(FieldError('Nearest: "a".', allowed=("a", "b"))) == 'Nearest: "a". (valid: a, b)'


def test_server_address_is_normalized() -> None:
    assert (
        normalize_url(" https://api.example/ ") == normalize_url("https://api.example/api/v1") == "https://api.example"
    )
    for wrong in (
        "",
        "api.example",
        "ftp://api.example",
        "http://",
        "https://ada:pw@api.example",
        "http://a?b=1",
    ):
        with pytest.raises(ValueError, match="URL of a"):
            normalize_url(wrong)


@pytest.mark.parametrize("part", ["", "jobs", "keys", "admin", "fleet", "uploads", "workflows"])
async def test_sync_and_async_clients_have_the_same_methods(part: str) -> None:
    one, other = Client("https://api.example"), AsyncClient("https://api.example")

    def methods(client: object) -> dict[str, list[str]]:
        found = getattr(client, part) if part else client
        return {
            name: list(map(str, inspect.signature(method).parameters.values()))
            for name, method in inspect.getmembers(found, inspect.ismethod)
            if not name.startswith("_")
        }

    assert methods(one) == methods(other)
    assert methods(one)
    one.close()
    await other.close()
