"""Requests of the client's flows, with prepared responses."""

import hashlib
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from comfyfleet_client import calls
from comfyfleet_client.credentials import Session
from comfyfleet_client.download import download
from comfyfleet_client.errors import (
    DamagedDownload,
    InvalidRequest,
    JobStillRunning,
    LimitReached,
    NotFound,
    ServerUnreachable,
    Unauthenticated,
    Unavailable,
    UnreadableResponse,
)
from comfyfleet_client.pages import iterate_pages
from comfyfleet_client.retry import Retry
from comfyfleet_client.steps import (
    HandshakeRefused,
    OpenWebSocket,
    Pause,
    Receive,
    Response,
    SendText,
    WebSocketClosed,
)
from comfyfleet_client.watch import MAX_JOBS_PER_SOCKET, wait_until_ended, watch, watch_many
from tests.unit.client.scripted_runner import URL, Script, answer, caller, problem
from tests.unit.client.test_calls import JOB
from tests.unit.client.test_events import frame

FRESH = {"access_token": "a2", "refresh_token": "r2", "expires_in": 900}
PICTURE = bytes(range(256)) * 8
SHA = hashlib.sha256(PICTURE).hexdigest()
OUTPUT = {
    "id": "o1", "node_id": "9", "name": "a.png", "kind": "image", "content_type": "image/png",
    "size_bytes": len(PICTURE), "sha256": SHA, "url": "https://api.example/x",
}  # fmt: skip
OUTPUTS = answer(body={"outputs": [OUTPUT]})
WHOLE = answer(etag=f'"{SHA}"')
EXPIRED = answer(401, {"code": "auth.credential.invalid"})


def session(seconds: float = 900) -> Session:
    return Session("a1", "r1", datetime.now(UTC) + timedelta(seconds=seconds))


def bearer(step: Any) -> str | None:
    header: str | None = step.headers.get("Authorization")
    return header


def test_retried_submission_keeps_its_idempotency_key() -> None:
    script = Script(ServerUnreachable("cut"), problem(503, retry_after="1"), problem(429), answer(201, JOB))
    call = calls.submit_job({"prompt": "a cat"}, idempotency_key="once")
    job = script.run(caller(key="cf_k").execute(call))
    assert job.job_id == "01a2"
    first = script.sent[0]
    assert script.sent == [first] * 4
    assert (first.method, first.url, first.content) == ("POST", f"{URL}/api/v1/jobs", b'{"prompt": "a cat"}')
    assert first.headers == {
        "Idempotency-Key": "once", "Content-Type": "application/json", "Authorization": "Bearer cf_k",
    }  # fmt: skip
    pauses = [pause.seconds for pause in script.of(Pause)]
    assert len(pauses) == 3
    assert pauses[1] > 1


def test_exhausted_retries_raise_the_last_failure() -> None:
    script = Script(*[problem(503)] * 3)
    with pytest.raises(Unavailable):
        script.run(caller(Retry(tries=3)).execute(calls.read_current_user()))
    assert script.is_over()


def test_registration_with_a_lost_reply_is_not_retried() -> None:
    script = Script(ServerUnreachable("cut"))
    with pytest.raises(ServerUnreachable):
        script.run(caller().execute(calls.register("ada", "a@b", "pw")))
    script = Script(ServerUnreachable("refused", sent=False), problem(422))
    with pytest.raises(InvalidRequest):
        script.run(caller().execute(calls.register("ada", "a@b", "pw")))


def test_response_that_is_not_json_raises_a_clear_error() -> None:
    page = answer().__class__(200, {}, b"<html>")
    with pytest.raises(UnreadableResponse, match="URL of a"):
        Script(page).run(caller().execute(calls.read_current_user()))


def test_session_is_refreshed_shortly_before_expiry() -> None:
    kept: list[Session] = []
    asking = caller(session=session(5), on_session=kept.append)
    script = Script(answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.execute(calls.list_keys()))
    assert [step.url.removeprefix(f"{URL}/api/v1") for step in script.sent] == ["/auth/refresh", "/auth/keys"]
    assert list(map(bearer, script.sent)) == [None, "Bearer a2"]
    assert [one.refresh_token for one in kept] == ["r2"]
    assert asking.credentials.session == kept[0]


@pytest.mark.parametrize("expired", [EXPIRED, answer(401)])
def test_expired_session_is_refreshed_once(expired: Response) -> None:
    script = Script(expired, answer(body=FRESH), answer(body={"keys": []}))
    assert script.run(caller(session=session()).execute(calls.list_keys())) == ()
    assert [bearer(step) for step in script.sent] == ["Bearer a1", None, "Bearer a2"]
    script = Script(expired, answer(body=FRESH), expired)
    with pytest.raises(Unauthenticated):
        script.run(caller(session=session()).execute(calls.list_keys()))


def test_wrong_current_password_is_sent_once() -> None:
    script = Script(answer(401, {"code": "auth.login.failed"}))
    with pytest.raises(Unauthenticated):
        script.run(caller(session=session()).execute(calls.change_password("wrong", "new")))
    assert [step.url.rsplit("/", 1)[1] for step in script.sent] == ["password"]


def test_session_that_another_program_refreshed_is_used() -> None:
    newer = Session("a2", "r2", datetime.now(UTC) + timedelta(minutes=15))
    asking = caller(session=session(5), lock_session=lambda: nullcontext(newer))
    script = Script(answer(body={"keys": []}))
    script.run(asking.execute(calls.list_keys()))
    assert list(map(bearer, script.sent)) == ["Bearer a2"]


def test_expiring_session_of_another_program_is_refreshed_with_its_newest_token() -> None:
    newer = Session("a2", "r2", datetime.now(UTC))
    asking = caller(session=session(5), lock_session=lambda: nullcontext(newer))
    script = Script(answer(body=FRESH | {"access_token": "a3"}), answer(body={"keys": []}))
    script.run(asking.execute(calls.list_keys()))
    assert json.loads(script.sent[0].content or b"") == {"refresh_token": "r2"}
    assert bearer(script.sent[1]) == "Bearer a3"


def test_client_with_a_password_logs_in_when_needed() -> None:
    asking = caller(username="ada", password="pw")
    script = Script(answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.execute(calls.list_keys()))
    assert json.loads(script.sent[0].content or b"") == {"username": "ada", "password": "pw"}
    asking.credentials.session = session(0)
    script = Script(problem(401), answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.execute(calls.list_keys()))
    assert [step.url.rsplit("/", 1)[1] for step in script.sent] == ["refresh", "login", "keys"]


def test_refused_key_is_not_retried() -> None:
    with pytest.raises(Unauthenticated):
        Script(problem(401)).run(caller(key="cf_x").execute(calls.read_current_user()))


def test_secrets_are_absent_from_repr() -> None:
    asking = caller(key="cf_secret", token="tok_secret", password="pw_secret", session=session())
    assert not [word for word in ("cf_secret", "tok_secret", "pw_secret", "'a1'", "'r1'") if word in repr(asking)]


def test_list_is_fetched_page_by_page() -> None:
    script = Script(
        answer(body={"jobs": [JOB | {"job_id": "1"}, JOB | {"job_id": "2"}], "next_cursor": "c"}),
        answer(body={"jobs": [JOB | {"job_id": "3"}], "next_cursor": None}),
    )
    script.run(iterate_pages(caller(), lambda cursor: calls.list_jobs(limit=2, cursor=cursor)))
    assert [job.job_id for job in script.emitted] == ["1", "2", "3"]
    assert [step.params for step in script.sent] == [{"limit": "2"}, {"limit": "2", "cursor": "c"}]


def test_interrupted_download_resumes() -> None:
    file = BytesIO()
    rest = answer(206, content_range=f"bytes 1000-{len(PICTURE) - 1}/{len(PICTURE)}")
    script = Script(
        OUTPUTS,
        (WHOLE, [PICTURE[:600], PICTURE[600:1000]], ServerUnreachable("cut")),
        (problem(503), [], None),
        (rest, [PICTURE[1000:]], None),
    )
    output = script.run(download(caller(key="k"), "j", None, file))
    assert (output.id, file.getvalue()) == ("o1", PICTURE)
    assert [step.headers.get("Range") for step in script.sent[1:]] == [None, "bytes=1000-", "bytes=1000-"]
    assert [step.headers.get("If-Range") for step in script.sent[1:]] == [None, f'"{SHA}"', f'"{SHA}"']


def test_download_restarts_when_the_server_ignores_the_range() -> None:
    file = BytesIO()
    script = Script(OUTPUTS, (WHOLE, [b"other" * 99], ServerUnreachable("cut")), (WHOLE, [PICTURE], None))
    script.run(download(caller(key="k"), "j", 0, file))
    assert file.getvalue() == PICTURE


@pytest.mark.parametrize("wrong", [PICTURE[:-1], PICTURE + b"x", b"", PICTURE[:-1] + b"x"])
@pytest.mark.parametrize("index", [None, 0])
def test_download_with_a_wrong_digest_raises(wrong: bytes, index: int | None) -> None:
    with pytest.raises(DamagedDownload, match=r"a\.png"):
        Script(OUTPUTS, (WHOLE, [wrong], None)).run(download(caller(), "j", index, BytesIO()))


def test_download_without_a_digest_raises() -> None:
    with pytest.raises(DamagedDownload, match="not among the outputs"):
        Script(OUTPUTS, (answer(etag='"x"'), [PICTURE], None)).run(download(caller(), "j", None, BytesIO()))


STATES = [frame("status", seq=n, status=status) for n, status in enumerate(("pending", "processing", "processing"), 1)]
END = (frame("status", seq=4, status="completed"), frame("end", seq=4, status="completed"))


def test_watching_continues_after_a_disconnect() -> None:
    script = Script(
        None, frame("snapshot", seq=1, status="pending"), STATES[1], WebSocketClosed(1006, "cut"),
        ServerUnreachable("away"),
        HandshakeRefused(problem(503, retry_after="2")),
        None, frame("snapshot", seq=3, status="processing"), STATES[2], None, b"preview", *END,
    )  # fmt: skip
    script.run(watch(caller(key="k"), "j"))
    assert [(event.type, event.seq) for event in script.emitted] == [
        ("snapshot", 1), ("status", 2), ("status", 3), ("status", 4), ("end", 4),
    ]  # fmt: skip
    opened = script.of(OpenWebSocket)
    base = "wss://api.example/ws/jobs/j"
    assert [step.url for step in opened] == [base] + [f"{base}?after=2"] * 3
    assert {bearer(step) for step in opened} == {"Bearer k"}
    assert script.of(Pause)[2].seconds > 2


def test_watching_an_unknown_job_ends_with_an_error() -> None:
    with pytest.raises(NotFound):
        Script(HandshakeRefused(problem(404))).run(watch(caller(key="k"), "j"))
    with pytest.raises(Unauthenticated, match=r"auth\.credential\.invalid"):
        Script(None, WebSocketClosed(4401, "auth.credential.invalid")).run(watch(caller(key="k"), "j"))
    with pytest.raises(LimitReached):
        Script(HandshakeRefused(problem(429))).run(watch(caller(Retry(tries=1)), "j"))


def test_session_is_refreshed_while_watching() -> None:
    script = Script(
        None, frame("snapshot", seq=1, status="pending"), WebSocketClosed(4401, "auth.credential.invalid"),
        HandshakeRefused(EXPIRED), answer(body=FRESH),
        None, *END,
    )  # fmt: skip
    script.run(watch(caller(session=session()), "j"))
    assert [bearer(step) for step in script.of(OpenWebSocket)] == ["Bearer a1", "Bearer a1", "Bearer a2"]


def test_repeatedly_failing_connections_are_bounded() -> None:
    lost = (None, frame("snapshot", seq=1, status="pending"), WebSocketClosed(1006, "cut"))
    script = Script(*lost * 3)
    with pytest.raises(ServerUnreachable, match="closed"):
        script.run(watch(caller(Retry(tries=3)), "j"))
    assert len(script.of(OpenWebSocket)) == 3


def test_wait_respects_its_timeout() -> None:
    with pytest.raises(JobStillRunning, match="It continues"):
        Script(None, None).run(watch(caller(), "j", timeout=0))
    script = Script(None, *END, answer(body=JOB))
    assert script.run(wait_until_ended(caller(), "j", timeout=60)).succeeded
    assert [0 < (step.within_s or 0) <= 60 for step in script.of(Receive)] == [True, True]


def told(job_id: str, kind: str, seq: int, status: str = "processing") -> str:
    at = "2026-01-01T00:00:00+00:00"
    return json.dumps({"type": kind, "job_id": job_id, "at": at, "seq": seq, "status": status})


def test_several_jobs_are_watched_over_one_reconnecting_socket() -> None:
    begun = [told("a", "snapshot", 1), told("b", "snapshot", 1), told("a", "status", 2)]
    again = [told("a", "snapshot", 2), told("b", "snapshot", 1)]
    rest = [told("b", "status", 2, "completed"), told("b", "end", 2, "completed"), told("a", "end", 2, "completed")]
    script = Script(None, None, None, *begun, WebSocketClosed(1006, ""), None, None, None, *again, *rest)
    script.run(watch_many(caller(key="k"), ["a", "b", "a"]))
    assert script.is_over()
    assert [step.url for step in script.of(OpenWebSocket)] == ["wss://api.example/ws"] * 2
    asked = [json.loads(step.text) for step in script.of(SendText)]
    assert asked == [
        {"type": "subscribe", "job_id": "a"}, {"type": "subscribe", "job_id": "b"},
        {"type": "subscribe", "job_id": "a", "after": 2}, {"type": "subscribe", "job_id": "b", "after": 1},
    ]  # fmt: skip
    kinds = [(event.job_id, event.type) for event in script.emitted]
    assert kinds == [
        ("a", "snapshot"), ("b", "snapshot"), ("a", "status"), ("b", "status"), ("b", "end"), ("a", "end"),
    ]  # fmt: skip


def test_many_jobs_are_watched_in_turn() -> None:
    jobs = [f"j{number}" for number in range(MAX_JOBS_PER_SOCKET + 1)]
    ends = [told(job_id, "end", 1, "completed") for job_id in jobs]
    script = Script(None, *[None] * MAX_JOBS_PER_SOCKET, ends[0], None, *ends[1:])
    script.run(watch_many(caller(key="k"), jobs))
    assert script.is_over()
    assert len(script.of(OpenWebSocket)) == 1
    assert [json.loads(step.text)["job_id"] for step in script.of(SendText)] == jobs


def test_timeout_of_many_jobs_names_a_job_that_has_not_ended() -> None:
    def run_until_timeout(timeout: float) -> str:
        flow = watch_many(caller(key="k"), ["a", "b"], timeout=timeout)
        received = iter([told("a", "end", 1, "completed")])
        try:
            step = next(flow)
            while True:
                step = flow.send(next(received, None) if isinstance(step, Receive) else None)
        except JobStillRunning as running:
            return str(running)

    # on a loaded machine, a short time passes before the end of the first job is received
    assert any("Job b " in run_until_timeout(timeout) for timeout in (0.05, 1.0, 10.0))


def test_one_forbidden_job_ends_watching_with_an_error() -> None:
    no = json.dumps({"type": "error", "job_id": "b", "code": "job.not_found", "message": "There is no such job."})
    with pytest.raises(NotFound) as refused:
        Script(None, None, None, no).run(watch_many(caller(key="k"), ["a", "b"]))
    assert refused.value.code == "job.not_found"
