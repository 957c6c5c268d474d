"""A node's responses are untrusted: an invalid one affects only its own attempt, and the next job runs normally."""

import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.outputs import OutputSource
from contracts.wire.errors import InternalFault, InvalidMessage, Refusal
from tests.integration.executor.graphs import failing, hello, slow
from tests.integration.executor.processes import Node
from tests.kit.hostile_node import HostileNode, NodeRequest, Reply
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")

PROMPTLY_S = 30.0  # timeout of a job that takes some tenths of a second
CAP = 300_000  # maximum bytes of a response in these tests
LARGE = b'{"a": "' + b"x" * (2 * CAP) + b'"}'


@pytest.fixture
async def proxy(node: Node) -> AsyncIterator[HostileNode]:
    proxy = HostileNode(node.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def hostile(proxy: HostileNode, start_executor: Callable[..., Any]) -> HostileNode:
    """A hostile node with its executor."""
    await start_executor(comfyui_url=proxy.url, answer_max_bytes=CAP)
    return proxy


def replace_replies(route: str, change: Callable[[Reply], Reply]) -> Callable[..., Any]:
    """Replace every response of one route."""

    async def answer(asked: NodeRequest, reply: Reply) -> Reply:
        return change(reply) if asked.route == route else reply

    return answer


def replace_history_entries(change: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """Change the history entry of every prompt."""

    def changed(reply: Reply) -> Reply:
        said = json.loads(reply.body)
        for prompt_id, entry in said.items():
            new = change(entry)
            said[prompt_id] = entry if new is None else new
        return Reply(json.dumps(said).encode()) if said else reply

    return replace_replies("history", changed)


def reply_with(body: bytes, **more: Any) -> Callable[[Reply], Reply]:
    """Return a change that replaces the node's response once the prompt has ended."""
    return lambda reply: Reply(body, **more) if len(reply.body) > 2 else reply


async def assert_ordinary_job_runs(scheduler: Any, hostile: HostileNode) -> None:
    hostile.stop_replacing()
    given = await scheduler.offer_job(hello())
    finish = await scheduler.wait_for_finish(given, within_s=PROMPTLY_S)
    assert (finish.outcome, len(finish.outputs)) == (Outcome.SUCCEEDED, 5)


async def run_job(scheduler: Any, graph: dict[str, Any] | None = None) -> FinishAttempt:
    finish: FinishAttempt = await scheduler.wait_for_finish(await scheduler.offer_job(graph or hello()))
    return finish


UNFIT = "a\x00b\ud800c\x1bd"


async def test_nul_and_surrogates_are_removed_from_node_error_texts(scheduler, hostile) -> None:
    def change(entry: dict[str, Any]) -> None:
        for name, told in entry["status"]["messages"]:
            if name == "execution_error":
                told.update(exception_message=UNFIT, node_id=UNFIT, node_type=UNFIT, exception_type=UNFIT)

    hostile.change_reply = replace_history_entries(change)
    finish = await run_job(scheduler, failing("ValueError", "m"))
    assert hostile.replaced["history"]
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "workflow.execution_failed")
    error = finish.error
    assert error is not None
    cleaned = "a\ufffdb\ufffdc\ufffdd"
    assert (error.message, error.node_id, error.node_class) == (cleaned,) * 3
    await assert_ordinary_job_runs(scheduler, hostile)


async def test_non_utf_8_folder_names_do_not_hide_new_models(
    start_executor: Callable[..., Any], scheduler: Any, node: Node, proxy: HostileNode
) -> None:
    names = ["\ud800", "caf\udce9"]

    async def add_folders(request: NodeRequest, reply: Reply) -> Reply:
        if (request.route, request.prompt_id) == ("models", ""):
            return Reply(json.dumps([*json.loads(reply.body), *names]).encode())
        if (request.route, request.prompt_id) == ("written_models", ""):
            folders = [{"name": name, "folders": ["/srv/output/models"]} for name in names]
            return Reply(json.dumps([*json.loads(reply.body), *folders]).encode())
        return reply

    proxy.change_reply = add_folders
    await start_executor(comfyui_url=proxy.url, catalog_every_s=3600.0, models_every_s=0.1, heartbeat_s=0.1)
    await scheduler.until(lambda: len(scheduler.catalogs) >= 1)
    await node.request("POST", "/simnode/models", {"folder": "checkpoints", "names": ["hostile_new.safetensors"]})
    await scheduler.until(lambda: scheduler.offers_model("hostile_new.safetensors"))
    assert proxy.replaced["models"]
    assert proxy.replaced["written_models"]


@pytest.mark.parametrize(
    "place",
    [
        {"filename": "caf\udce9.png"},
        {"filename": "a..b.png"},
        {"filename": "/srv/a.png"},
    ],
    ids=ascii,
)
async def test_output_file_with_an_undownloadable_name_fails_the_workflow_without_a_retry(
    scheduler, hostile, place: dict[str, str]
) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["outputs"]["3"]["images"][0].update(place)

    hostile.change_reply = replace_history_entries(change)
    finish = await run_job(scheduler)
    assert hostile.replaced["history"]
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "workflow.output_name_invalid")
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply_with(LARGE), "workflow.answer_too_large"),
        (reply_with(b"[1,2," * 10_000, endless=True), "workflow.answer_too_large"),
        (reply_with(b"[" * 200_000 + b"]" * 200_000), "workflow.answer_too_large"),
        (reply_with(b"[" * 100_000), "workflow.answer_unreadable"),
        (reply_with(b'{"a": ' + b"9" * 5_000 + b"}"), "workflow.answer_unreadable"),
        (reply_with(b"\xff\xfe\x00"), "workflow.answer_unreadable"),
        (reply_with(b"no json"), "workflow.answer_unreadable"),
        (reply_with(b"", status=500), "workflow.answer_unreadable"),
        (reply_with(b"{" * 50, cut=True), "workflow.answer_unreadable"),
        (reply_with(b" " * 200, drip_s=0.1), "workflow.answer_unreadable"),
        (reply_with(b"{}", status=302, headers={"Location": "http://127.0.0.1:1/"}), "workflow.answer_unreadable"),
    ],
)
async def test_unreadable_history_entry_fails_the_workflow(scheduler, hostile, node, answer, code) -> None:
    hostile.change_reply = replace_replies("history", answer)
    given = await scheduler.offer_job(hello())
    finish = await scheduler.wait_for_finish(given)
    assert hostile.replaced["history"]
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, code)
    assert all(beat.online for beat in scheduler.heartbeats[1:] if beat.attempt is not None)
    hostile.stop_replacing()

    async def removed() -> bool:
        return bool(await node.request("GET", f"/history/{given.prompt_id}") == {})

    await until(removed)  # the unreadable entry
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        dict.clear,
        lambda entry: entry.update(status=[[[[]]]], outputs=5),
        lambda entry: entry["status"].update(messages=[["execution_error"], [1, {}], None, [[], {}]], status_str=[]),
        lambda entry: entry["status"].update(
            messages=[["a", {"timestamp": 10**400}], ["b", {"timestamp": -1.0}], ["c", {"timestamp": float("nan")}]]
        ),
        lambda entry: entry.update(outputs={"3": {"images": [{"filename": "x", "type": [], "subfolder": {}}]}}),
        lambda entry: entry.update(outputs={UNFIT: {"text": [UNFIT, 5, None]}}),
        lambda entry: entry.update(outputs={"3": json.loads('{"a":' * 900 + "1" + "}" * 900)}),
        lambda entry: entry.update(outputs=[[]], meta={"3": {"display_node": ["x"]}}),
    ],
)
async def test_malformed_history_entry_ends_the_attempt(scheduler, hostile, change) -> None:
    hostile.change_reply = replace_history_entries(change)
    finish = await run_job(scheduler)
    assert hostile.replaced["history"]
    assert finish.outcome in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.NODE_FAULT}
    assert finish.error is None or finish.error.message != "The executor failed while it ran the job."
    await assert_ordinary_job_runs(scheduler, hostile)


async def test_reported_file_outside_of_the_nodes_folders_is_json(scheduler, hostile) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["outputs"]["3"]["images"][0]["subfolder"] = "../.."

    hostile.change_reply = replace_history_entries(change)
    finish = await run_job(scheduler)
    assert hostile.replaced["history"]
    assert finish.outcome is Outcome.SUCCEEDED
    reported = finish.outputs[1]
    assert reported.source is OutputSource.VALUE
    assert reported.value == {"filename": "img_00001_.png", "subfolder": "../..", "type": "output"}


@pytest.mark.requirement("B-99")
async def test_more_outputs_than_a_job_may_have_fail_it(scheduler, hostile) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["outputs"]["3"] = {f"{n}": ["t"] for n in range(6_000)}

    hostile.change_reply = replace_history_entries(change)
    finish = await run_job(scheduler)
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "workflow.too_many_outputs")
    await assert_ordinary_job_runs(scheduler, hostile)


async def test_node_with_an_oversized_queue_is_reported_as_occupied_not_offline(
    proxy, start_executor, scheduler
) -> None:
    proxy.change_reply = replace_replies("queue", lambda _: Reply(LARGE))
    given = await scheduler.offer_job(hello())
    with capture_logs() as logs:
        await start_executor(comfyui_url=proxy.url, answer_max_bytes=CAP)
        await until(lambda: any(entry["event"] == "executor.queue.unreadable" for entry in logs))
        beats = len(scheduler.heartbeats)
        await scheduler.until(lambda: len(scheduler.heartbeats) > beats + 2)
    assert scheduler.heartbeats[-1].online
    assert not scheduler.work_requests
    proxy.stop_replacing()
    assert (await scheduler.wait_for_finish(given, within_s=PROMPTLY_S)).outcome is Outcome.SUCCEEDED


async def test_queue_that_grows_oversized_during_a_run_does_not_end_the_job(scheduler, hostile) -> None:
    given = await scheduler.offer_job(slow(5))
    await scheduler.until(lambda: scheduler.starts)
    hostile.change_reply = replace_replies("queue", lambda _: Reply(LARGE))
    hostile.change_frame = lambda _: []  # so that the end is detected only by polling
    finish = await scheduler.wait_for_finish(given)
    assert hostile.replaced["queue"]
    assert finish.outcome is Outcome.SUCCEEDED
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.parametrize(
    "queue",
    [
        {"queue_running": 5, "queue_pending": {"a": 1}},
        {"queue_running": [[]], "queue_pending": ["x", None, [1]]},
        {"queue_running": [[0, "../../free", {}, {"client_id": "comfyfleet.node-1.x"}, []]], "queue_pending": []},
        {"queue_running": [[0, UNFIT, {}, {"client_id": "comfyfleet.node-1." + UNFIT}, []]], "queue_pending": []},
        {"queue_running": [[0, ["x"], {}, {"client_id": {"a": 1}}, []]], "queue_pending": []},
    ],
)
async def test_malformed_queue_entries_are_ignored(scheduler, hostile, node, queue) -> None:
    hostile.change_reply = replace_replies("queue", lambda _: Reply(json.dumps(queue).encode()))
    await until(lambda: hostile.replaced["queue"] >= 3)
    assert not hostile.requests["cancel"]
    assert await node.count_requests("POST /free") == 0
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.requirement("F-48")
@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        (Reply(LARGE, status=400), (Outcome.FAILED, "workflow.rejected")),
        (Reply(b"[" * 5_000, status=400), (Outcome.FAILED, "workflow.rejected")),
        (Reply(LARGE), (Outcome.SUCCEEDED, None)),  # the node had accepted it despite the response
        (Reply(b"null"), (Outcome.SUCCEEDED, None)),
        (
            Reply(
                json.dumps({"error": {"type": [], "message": UNFIT}, "node_errors": {UNFIT: 5}}).encode(), status=400
            ),
            (Outcome.FAILED, "workflow.rejected"),
        ),
        (
            Reply(
                json.dumps(
                    {"error": 5, "node_errors": {UNFIT: {"class_type": [], "errors": [{"type": {}, "message": UNFIT}]}}}
                ).encode(),
                status=400,
            ),
            (Outcome.FAILED, "workflow.rejected"),
        ),
    ],
)
async def test_malformed_reply_to_a_posted_prompt_is_refused_or_verified(scheduler, hostile, reply, ending) -> None:
    hostile.change_reply = replace_replies("prompt", lambda _: reply)
    finish = await run_job(scheduler)
    assert hostile.replaced["prompt"] == 1
    assert (finish.outcome, finish.error and finish.error.code) == ending
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.requirement("F-52")
@pytest.mark.parametrize(
    "frames",
    [
        lambda frame: ["[" * 5_000, frame],
        lambda frame: [json.dumps({"type": UNFIT, "data": {}}), "5", "", frame],
        lambda frame: [b"\x00" * 100, frame],
        lambda frame: ['{"type": "progress", "data": {"value": ' + "9" * 4_000 + ', "max": -1, "node": "2"}}', frame],
        lambda frame: [json.dumps({"type": "executing", "data": {"node": "2." * 100_000}}), frame],
        lambda frame: [_changed(frame, node=[UNFIT], nodes={UNFIT: {"state": "finished"}}, display_node={"a": 1})],
        lambda frame: [_changed(frame, output={"text": [UNFIT], "images": [{"filename": UNFIT, "type": {}}]})],
        lambda frame: [_changed(frame, output=json.loads("[" * 900 + "]" * 900)), frame],
        lambda _: ["x" * (20 << 20)],
    ],
)
async def test_malformed_events_are_ignored(scheduler, hostile, frames) -> None:
    hostile.change_frame = frames
    finish = await run_job(scheduler)
    assert hostile.replaced["frame"]
    assert finish.outcome is Outcome.SUCCEEDED
    await assert_ordinary_job_runs(scheduler, hostile)


def _changed(frame: str, **more: Any) -> str:
    event = json.loads(frame)
    event["data"] = {**event["data"], **more}
    return json.dumps(event)


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: Reply(reply.body, headers={"Location": "http://127.0.0.1:1/"}, status=302),
        lambda reply: Reply(reply.body[:10], cut=True),
        lambda _: Reply(b"", status=500),
    ],
)
async def test_failing_file_download_is_a_node_fault(scheduler, hostile, change) -> None:
    hostile.change_reply = replace_replies("view", change)
    finish = await run_job(scheduler)
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
    await assert_ordinary_job_runs(scheduler, hostile)


@pytest.mark.requirement("F-36")
async def test_endless_file_is_cut_off_at_the_size_limit(proxy, start_executor, scheduler) -> None:
    await start_executor(comfyui_url=proxy.url, output_max_bytes=100_000)
    proxy.change_reply = replace_replies("view", lambda reply: Reply(reply.body, endless=True))
    finish = await run_job(scheduler)
    assert (finish.outcome, finish.error and finish.error.code) == (Outcome.FAILED, "workflow.output_too_large")
    await assert_ordinary_job_runs(scheduler, proxy)


@pytest.mark.parametrize(
    "catalog",
    [
        LARGE,
        b"[" * 100_000,
        b"null",
        b'{"a": ' + b"9" * 5_000 + b"}",
        json.dumps(
            {"A": {"input": {"required": {"x": [["a", UNFIT, 10**300, float("inf")], {"min": 10**400}]}}}}
        ).encode(),
        json.dumps({UNFIT: {"input": {}}, "x" * 1_000: {"input": {}}}).encode(),
    ],
)
async def test_malformed_catalog_leaves_the_node_online(proxy, start_executor, scheduler, catalog) -> None:
    await start_executor(comfyui_url=proxy.url, answer_max_bytes=CAP, catalog_every_s=0.1)
    await scheduler.until(lambda: scheduler.catalogs and scheduler.heartbeats[-1].online)
    proxy.change_reply = replace_replies("object_info", lambda _: Reply(catalog))
    await until(lambda: proxy.replaced["object_info"] >= 1)
    beats = len(scheduler.heartbeats)
    await scheduler.until(lambda: len(scheduler.heartbeats) > beats + 3)
    assert scheduler.heartbeats[-1].online
    proxy.stop_replacing()
    await scheduler.until(lambda: scheduler.heartbeats[-1].catalog_digest == scheduler.catalogs[0].digest)
    await assert_ordinary_job_runs(scheduler, proxy)


class Refusing:
    """Makes the scheduler double refuse reports of an attempt's end with a given error."""

    def __init__(self, scheduler: Any, refusal: type[Refusal], *, minimal_too: bool) -> None:
        self.finishes: list[FinishAttempt] = []
        self._refusal, self._minimal_too = refusal, minimal_too
        scheduler.refuse = self

    def __call__(self, finish: FinishAttempt) -> Refusal | None:
        self.finishes.append(finish)
        return self._refusal() if self._minimal_too or not is_minimal(finish) else None


def is_minimal(finish: FinishAttempt) -> bool:
    """Return whether a report has no details of its attempt."""
    return finish.error is not None and finish.error.code == "node.answer_unusable"


@pytest.mark.parametrize("refusal", [InvalidMessage, InternalFault])
async def test_permanently_refused_report_is_resent_without_details(start_executor, scheduler, refusal) -> None:
    refusing = Refusing(scheduler, refusal, minimal_too=False)
    await start_executor()
    finish = await run_job(scheduler)
    assert len(refusing.finishes) > 1
    assert (finish.outcome, finish.outputs, finish.error and finish.error.code) == (
        Outcome.FAILED,
        (),
        "node.answer_unusable",
    )
    scheduler.refuse = None
    assert (
        await scheduler.wait_for_finish(await scheduler.offer_job(hello()), within_s=PROMPTLY_S)
    ).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("refusal", [InvalidMessage, InternalFault])
async def test_attempt_whose_end_cannot_be_reported_is_released(start_executor, scheduler, refusal) -> None:
    refusing = Refusing(scheduler, refusal, minimal_too=True)
    await start_executor()
    given = await scheduler.offer_job(hello())
    await scheduler.until(lambda: any(is_minimal(finish) for finish in refusing.finishes))
    scheduler.end_leases()
    await scheduler.until(lambda: scheduler.heartbeats and scheduler.heartbeats[-1].attempt is None)
    assert {finish.ref for finish in refusing.finishes} == {given.ref}
    told = len(refusing.finishes)
    scheduler.refuse = None
    assert (
        await scheduler.wait_for_finish(await scheduler.offer_job(hello()), within_s=PROMPTLY_S)
    ).outcome is Outcome.SUCCEEDED
    assert len(refusing.finishes) == told


async def test_restarted_executor_whose_finish_report_is_refused_takes_the_next_job(spawn_executor, scheduler) -> None:
    scheduler.unanswered_finishes = 1
    given = await scheduler.offer_job(hello())
    async with spawn_executor() as executor:
        await scheduler.until(lambda: scheduler.finishes)
        await executor.stop(signal.SIGKILL)
        refusing = Refusing(scheduler, InvalidMessage, minimal_too=False)
        await executor.start()
        await scheduler.until(lambda: scheduler.current is None)
        assert [finish.outcome for finish in refusing.finishes] == [Outcome.SUCCEEDED, Outcome.FAILED]
        assert {finish.ref for finish in refusing.finishes} == {given.ref}
        scheduler.refuse = None
        assert (await scheduler.wait_for_finish(await scheduler.offer_job(hello()))).outcome is Outcome.SUCCEEDED


async def test_cancellation_with_unreadable_history_frees_the_node(scheduler, hostile) -> None:
    hostile.change_reply = replace_replies("history", reply_with(LARGE))
    given = await scheduler.offer_job(slow(30))
    await scheduler.until(lambda: scheduler.starts)
    scheduler.lease = LeaseState.CANCELLED
    assert (await scheduler.wait_for_finish(given)).outcome is Outcome.CANCELLED
    scheduler.lease = LeaseState.KEPT
    await assert_ordinary_job_runs(scheduler, hostile)
