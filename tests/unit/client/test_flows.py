"""What the client asks of its connections, on answers that are written down."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from comfyfleet_client import calls
from comfyfleet_client.credentials import Session
from comfyfleet_client.download import download
from comfyfleet_client.errors import (
    Damaged,
    Invalid,
    Limited,
    NotFound,
    StillRunning,
    Unauthenticated,
    Unavailable,
    Unreachable,
    Unreadable,
)
from comfyfleet_client.pages import every
from comfyfleet_client.retry import Retry
from comfyfleet_client.steps import Closed, Connect, HandshakeRefused, Pause, Receive, Say
from comfyfleet_client.watch import AT_ONCE, ended, watch, watch_many
from tests.unit.client.scripted_runner import URL, Script, answer, caller, problem
from tests.unit.client.test_calls import JOB
from tests.unit.client.test_events import frame

NOW = datetime.now(UTC)
FRESH = {"access_token": "a2", "refresh_token": "r2", "expires_in": 900}
PICTURE = bytes(range(256)) * 8
SHA = hashlib.sha256(PICTURE).hexdigest()
OUTPUT = {
    "id": "o1", "node_id": "9", "name": "a.png", "kind": "image", "content_type": "image/png",
    "size_bytes": len(PICTURE), "sha256": SHA, "url": "https://api.example/x",
}  # fmt: skip
OUTPUTS = answer(body={"outputs": [OUTPUT]})
WHOLE = answer(etag=f'"{SHA}"')


def session(seconds: float = 900) -> Session:
    return Session("a1", "r1", NOW + timedelta(seconds=seconds))


def bearer(step: Any) -> str | None:
    header: str | None = step.headers.get("Authorization")
    return header


def test_a_submission_that_is_sent_again_is_the_same_submission() -> None:
    script = Script(Unreachable("cut"), problem(503, retry_after="1"), problem(429), answer(201, JOB))
    call = calls.submit_job({"prompt": "a cat"}, idempotency_key="once")
    job = script.run(caller(key="cf_k").ask(call))
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


def test_patience_ends_with_the_last_failure() -> None:
    script = Script(*[problem(503)] * 3)
    with pytest.raises(Unavailable):
        script.run(caller(Retry(tries=3)).ask(calls.read_me()))
    assert script.is_over()


def test_a_registration_whose_answer_was_lost_is_not_sent_again() -> None:
    script = Script(Unreachable("cut"))
    with pytest.raises(Unreachable):
        script.run(caller().ask(calls.register("ada", "a@b", "pw")))
    script = Script(Unreachable("refused", sent=False), problem(422))
    with pytest.raises(Invalid):
        script.run(caller().ask(calls.register("ada", "a@b", "pw")))


def test_an_answer_that_is_no_json_is_unreadable() -> None:
    page = answer().__class__(200, {}, b"<html>")
    with pytest.raises(Unreadable, match="address"):
        Script(page).run(caller().ask(calls.read_me()))


def test_a_session_that_ends_soon_is_refreshed_first_and_kept() -> None:
    kept: list[Session] = []
    asking = caller(session=session(5), on_session=kept.append)
    script = Script(answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.ask(calls.list_keys()))
    assert [step.url.removeprefix(f"{URL}/api/v1") for step in script.sent] == ["/auth/refresh", "/auth/keys"]
    assert list(map(bearer, script.sent)) == [None, "Bearer a2"]
    assert [one.refresh_token for one in kept] == ["r2"]
    assert asking.credentials.session == kept[0]


def test_a_session_that_was_ended_is_refreshed_once() -> None:
    script = Script(problem(401), answer(body=FRESH), answer(body={"keys": []}))
    assert script.run(caller(session=session()).ask(calls.list_keys())) == ()
    assert [bearer(step) for step in script.sent] == ["Bearer a1", None, "Bearer a2"]
    script = Script(problem(401), answer(body=FRESH), problem(401))
    with pytest.raises(Unauthenticated):
        script.run(caller(session=session()).ask(calls.list_keys()))


def test_with_a_password_a_session_is_opened_when_needed() -> None:
    asking = caller(username="ada", password="pw")
    script = Script(answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.ask(calls.list_keys()))
    assert json.loads(script.sent[0].content or b"") == {"username": "ada", "password": "pw"}
    asking.credentials.session = session(0)
    script = Script(problem(401), answer(body=FRESH), answer(body={"keys": []}))
    script.run(asking.ask(calls.list_keys()))
    assert [step.url.rsplit("/", 1)[1] for step in script.sent] == ["refresh", "login", "keys"]


def test_a_key_that_is_refused_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        Script(problem(401)).run(caller(key="cf_x").ask(calls.read_me()))


def test_secrets_are_in_no_repr() -> None:
    asking = caller(key="cf_secret", token="tok_secret", password="pw_secret", session=session())
    assert not [word for word in ("cf_secret", "tok_secret", "pw_secret", "'a1'", "'r1'") if word in repr(asking)]


def test_a_list_is_walked_page_by_page() -> None:
    script = Script(
        answer(body={"jobs": [JOB | {"job_id": "1"}, JOB | {"job_id": "2"}], "next_cursor": "c"}),
        answer(body={"jobs": [JOB | {"job_id": "3"}], "next_cursor": None}),
    )
    script.run(every(caller(), lambda cursor: calls.list_jobs(limit=2, cursor=cursor)))
    assert [job.job_id for job in script.emitted] == ["1", "2", "3"]
    assert [step.params for step in script.sent] == [{"limit": "2"}, {"limit": "2", "cursor": "c"}]


def test_a_download_goes_on_where_it_was_cut() -> None:
    file = BytesIO()
    rest = answer(206, content_range=f"bytes 1000-{len(PICTURE) - 1}/{len(PICTURE)}")
    script = Script(
        OUTPUTS,
        (WHOLE, [PICTURE[:600], PICTURE[600:1000]], Unreachable("cut")),
        (problem(503), [], None),
        (rest, [PICTURE[1000:]], None),
    )
    output = script.run(download(caller(key="k"), "j", None, file))
    assert (output.id, file.getvalue()) == ("o1", PICTURE)
    assert [step.headers.get("Range") for step in script.sent[1:]] == [None, "bytes=1000-", "bytes=1000-"]
    assert [step.headers.get("If-Range") for step in script.sent[1:]] == [None, f'"{SHA}"', f'"{SHA}"']


def test_a_download_begins_anew_where_the_whole_is_sent_again() -> None:
    file = BytesIO()
    script = Script(OUTPUTS, (WHOLE, [b"other" * 99], Unreachable("cut")), (WHOLE, [PICTURE], None))
    script.run(download(caller(key="k"), "j", 0, file))
    assert file.getvalue() == PICTURE


@pytest.mark.parametrize("wrong", [PICTURE[:-1], PICTURE + b"x", b"", PICTURE[:-1] + b"x"])
@pytest.mark.parametrize("index", [None, 0])
def test_other_bytes_than_were_made_are_not_believed(wrong: bytes, index: int | None) -> None:
    with pytest.raises(Damaged, match=r"a\.png"):
        Script(OUTPUTS, (WHOLE, [wrong], None)).run(download(caller(), "j", index, BytesIO()))


def test_bytes_without_a_record_are_not_believed() -> None:
    with pytest.raises(Damaged, match="no record"):
        Script(OUTPUTS, (answer(etag='"x"'), [PICTURE], None)).run(download(caller(), "j", None, BytesIO()))


STATES = [frame("status", seq=n, status=status) for n, status in enumerate(("pending", "processing", "processing"), 1)]
END = (frame("status", seq=4, status="completed"), frame("end", seq=4, status="completed"))


def test_watching_goes_on_after_a_broken_connection() -> None:
    script = Script(
        None, frame("snapshot", seq=1, status="pending"), STATES[1], Closed(1006, "cut"),
        Unreachable("away"),
        HandshakeRefused(problem(503, retry_after="2")),
        None, frame("snapshot", seq=3, status="processing"), STATES[2], None, b"preview", *END,
    )  # fmt: skip
    script.run(watch(caller(key="k"), "j"))
    assert [(event.type, event.seq) for event in script.emitted] == [
        ("snapshot", 1), ("status", 2), ("status", 3), ("status", 4), ("end", 4),
    ]  # fmt: skip
    opened = script.of(Connect)
    base = "wss://api.example/ws/jobs/j"
    assert [step.url for step in opened] == [base] + [f"{base}?after=2"] * 3
    assert {bearer(step) for step in opened} == {"Bearer k"}
    assert script.of(Pause)[2].seconds > 2


def test_watching_ends_where_nothing_is_to_be_seen() -> None:
    with pytest.raises(NotFound):
        Script(HandshakeRefused(problem(404))).run(watch(caller(key="k"), "j"))
    with pytest.raises(Unauthenticated, match=r"auth\.credential\.invalid"):
        Script(None, Closed(4401, "auth.credential.invalid")).run(watch(caller(key="k"), "j"))
    with pytest.raises(Limited):
        Script(HandshakeRefused(problem(429))).run(watch(caller(Retry(tries=1)), "j"))


def test_a_session_that_ends_while_watching_is_refreshed() -> None:
    script = Script(
        None, frame("snapshot", seq=1, status="pending"), Closed(4401, "auth.credential.invalid"),
        HandshakeRefused(problem(401)), answer(body=FRESH),
        None, *END,
    )  # fmt: skip
    script.run(watch(caller(session=session()), "j"))
    assert [bearer(step) for step in script.of(Connect)] == ["Bearer a1", "Bearer a1", "Bearer a2"]


def test_connections_that_only_break_are_not_made_for_ever() -> None:
    lost = (None, frame("snapshot", seq=1, status="pending"), Closed(1006, "cut"))
    script = Script(*lost * 3)
    with pytest.raises(Unreachable, match="closed"):
        script.run(watch(caller(Retry(tries=3)), "j"))
    assert len(script.of(Connect)) == 3


def test_waiting_ends_in_time() -> None:
    with pytest.raises(StillRunning, match="goes on"):
        Script(None, None).run(watch(caller(), "j", timeout=0))
    script = Script(None, *END, answer(body=JOB))
    assert script.run(ended(caller(), "j", timeout=60)).succeeded
    assert [0 < (step.within_s or 0) <= 60 for step in script.of(Receive)] == [True, True]


def told(job_id: str, kind: str, seq: int, status: str = "processing") -> str:
    at = "2026-01-01T00:00:00+00:00"
    return json.dumps({"type": kind, "job_id": job_id, "at": at, "seq": seq, "status": status})


def test_several_jobs_are_watched_over_one_socket_which_is_made_again() -> None:
    begun = [told("a", "snapshot", 1), told("b", "snapshot", 1), told("a", "status", 2)]
    again = [told("a", "snapshot", 2), told("b", "snapshot", 1)]
    rest = [told("b", "status", 2, "completed"), told("b", "end", 2, "completed"), told("a", "end", 2, "completed")]
    script = Script(None, None, None, *begun, Closed(1006, ""), None, None, None, *again, *rest)
    script.run(watch_many(caller(key="k"), ["a", "b", "a"]))
    assert script.is_over()
    assert [step.url for step in script.of(Connect)] == ["wss://api.example/ws"] * 2
    asked = [json.loads(step.text) for step in script.of(Say)]
    assert asked == [
        {"type": "subscribe", "job_id": "a"}, {"type": "subscribe", "job_id": "b"},
        {"type": "subscribe", "job_id": "a", "after": 2}, {"type": "subscribe", "job_id": "b", "after": 1},
    ]  # fmt: skip
    kinds = [(event.job_id, event.type) for event in script.emitted]
    assert kinds == [
        ("a", "snapshot"), ("b", "snapshot"), ("a", "status"), ("b", "status"), ("b", "end"), ("a", "end"),
    ]  # fmt: skip


def test_of_very_many_jobs_the_next_is_watched_when_one_has_ended() -> None:
    jobs = [f"j{number}" for number in range(AT_ONCE + 1)]
    ends = [told(job_id, "end", 1, "completed") for job_id in jobs]
    script = Script(None, *[None] * AT_ONCE, ends[0], None, *ends[1:])
    script.run(watch_many(caller(key="k"), jobs))
    assert script.is_over()
    assert len(script.of(Connect)) == 1
    assert [json.loads(step.text)["job_id"] for step in script.of(Say)] == jobs


def test_a_job_that_may_not_be_watched_ends_the_watching_of_all() -> None:
    no = json.dumps({"type": "error", "job_id": "b", "code": "job.not_found", "message": "There is no such job."})
    with pytest.raises(NotFound) as refused:
        Script(None, None, None, no).run(watch_many(caller(key="k"), ["a", "b"]))
    assert refused.value.code == "job.not_found"
