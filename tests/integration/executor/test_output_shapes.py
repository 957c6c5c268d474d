"""An executor stores all outputs that nodes report, in each format. The simulated node reports given data."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import Output, OutputKind, OutputSource
from executor.domain.inline_values import MAX_INLINE_BYTES, MAX_JOB_BYTES
from executor.usecases.locate_files import MAX_CONCURRENT, MAX_MISSES
from executor.usecases.upload_output import MAX_FILE_ATTEMPTS
from tests.integration.executor.graphs import slow
from tests.integration.executor.processes import Node
from tests.kit.hostile_node import HostileNode, NodeRequest, Reply
from tests.kit.output_shapes import SHAPES, ExpectedOutput, Shape, content_of
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")

PROMPTS = 4


@pytest.fixture
async def proxy(node: Node) -> AsyncIterator[HostileNode]:
    proxy = HostileNode(node.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


def reporting(report: dict[str, Any], *files: str) -> dict[str, Any]:
    """Return a graph whose node writes these files and reports this."""
    writes = {path: content_of(path).decode() for path in files}
    return {"class_type": "SimReport", "inputs": {"report": json.dumps(report), "writes": json.dumps(writes)}}


def entry_of(path: str) -> dict[str, str]:
    """Return a file reference in ComfyUI's format."""
    kind, _, inside = path.partition("/")
    subfolder, _, filename = inside.rpartition("/")
    return {"filename": filename, "subfolder": subfolder, "type": kind}


def graph_of(shapes: tuple[Shape, ...]) -> dict[str, Any]:
    return {str(number): reporting(shape.report, *shape.files) for number, shape in enumerate(shapes)}


async def test_outputs_of_every_shape_arrive_unchanged(start_executor, scheduler, gateway) -> None:
    await start_executor()
    for shapes in (SHAPES[first::PROMPTS] for first in range(PROMPTS)):
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph_of(shapes)))
        assert (finish.outcome, finish.error, finish.warnings) == (Outcome.SUCCEEDED, None, ())
        for number, shape in enumerate(shapes):
            outputs = [output for output in finish.outputs if output.node_id == str(number)]
            assert [(output.key, output.position, output.temporary) for output in outputs] == [
                (one.key, one.position, one.temporary) for one in shape.expected
            ], shape.name
            for output, expected in zip(outputs, shape.expected, strict=True):
                assert_arrived(output, expected, gateway.stored[output.id], gateway.types[output.id])


def assert_arrived(output: Output, expected: ExpectedOutput, stored: bytes, content_type: str) -> None:
    assert content_type == output.content_type
    if expected.file is not None:
        assert (output.source, output.value, stored) == (OutputSource.FILE, None, content_of(expected.file))
        return
    assert (output.source, output.kind) == (OutputSource.VALUE, OutputKind.TEXT)
    if expected.text is not None:
        assert (content_type, stored.decode()) == ("text/plain; charset=utf-8", expected.text)
    else:
        assert (content_type, json.loads(stored)) == ("application/json", expected.json)
    assert output.value in (None, expected.json if expected.text is None else expected.text)


async def test_small_values_are_inlined_and_large_values_are_stored_as_files(
    start_executor, scheduler, gateway
) -> None:
    await start_executor()
    small, large = "x" * MAX_INLINE_BYTES, "y" * (MAX_INLINE_BYTES + 1)
    many = MAX_JOB_BYTES // MAX_INLINE_BYTES + 1
    report = {"text": [large, *[small] * many], "value": [{"a": [1, None]}, 2**70, "\x00"]}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job({"1": reporting(report)}))
    inline = [output.value for output in finish.outputs]
    assert inline == [None, *[small] * (many - 1), None, None, None, None]
    assert len(gateway.stored[finish.outputs[0].id]) == MAX_INLINE_BYTES + 1


async def test_text_output_never_matches_a_file_older_than_the_prompt(
    start_executor, scheduler, gateway, tmp_path
) -> None:
    """Otherwise a tenant could read any file of the node by its name."""
    await start_executor()
    secret = tmp_path / "node" / "output" / "3d" / "secret.glb"
    secret.parent.mkdir(parents=True)
    secret.write_text("of somebody else")
    await scheduler.wait_for_finish(await scheduler.offer_job({"1": reporting({"text": ["before"]})}))
    finish = await scheduler.wait_for_finish(await scheduler.offer_job({"1": reporting({"result": ["3d/secret.glb"]})}))
    (output,) = finish.outputs
    assert (output.source, output.value) == (OutputSource.VALUE, "3d/secret.glb")
    assert gateway.stored[output.id] == b"3d/secret.glb"


async def test_output_never_matches_a_file_of_the_next_prompt(
    start_executor, scheduler, gateway, node: Node, proxy: HostileNode
) -> None:
    """The next prompt, of another tenant, runs while the outputs of this one are looked up."""
    await start_executor(comfyui_url=proxy.url, prefetch=True, prefetch_hold_s=600, reply_s=30.0)
    text, file = reporting({"result": ["3d/next.glb"]}), reporting({"3d": [entry_of("output/3d/next.glb")]})
    first = await scheduler.offer_job({**slow(0.5), "4": text, "5": file})

    async def has_run() -> bool:
        return any(entry["finished"] for entry in await node.ledger(second.prompt_id))

    async def answer(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "history" and asked.prompt_id == str(first.prompt_id) and reply.body != b"{}":
            await until(has_run)
        return reply

    proxy.change_reply = answer
    second = await scheduler.offer_job({"1": reporting({"result": ["3d/next.glb"]}, "output/3d/next.glb")})
    finish = await scheduler.wait_for_finish(first)
    outputs = {output.node_id: output for output in finish.outputs}
    assert (outputs["4"].source, outputs["4"].value) == (OutputSource.VALUE, "3d/next.glb")
    assert gateway.stored[outputs["4"].id] == b"3d/next.glb"
    assert (outputs["5"].source, outputs["5"].value) == (OutputSource.VALUE, entry_of("output/3d/next.glb"))
    (output,) = (await scheduler.wait_for_finish(second)).outputs
    assert (output.source, gateway.stored[output.id]) == (OutputSource.FILE, content_of("output/3d/next.glb"))


async def test_file_of_another_job_is_neither_fetched_nor_stored(
    start_executor, scheduler, gateway, proxy: HostileNode, tmp_path
) -> None:
    """Stock classes such as Preview3DAdvanced report JSON of the workflow unchanged."""
    fetched: list[str] = []

    async def record_download(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view" and asked.range != "bytes=0-0":
            fetched.append(asked.query["filename"])
        return reply

    proxy.change_reply = record_download
    await start_executor(comfyui_url=proxy.url)
    victim = await scheduler.offer_job(
        {
            **slow(0.01),
            "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
            "5": reporting({"files": [entry_of("output/private.txt")]}, "output/private.txt"),
        }
    )
    finish = await scheduler.wait_for_finish(victim)
    assert len(finish.outputs) == 3
    (preview,) = (tmp_path / "node" / "temp").glob("ComfyUI_temp_*.png")
    assert preview.name in fetched
    folder = f"output/{victim.ref.job_id}/{victim.ref.attempt}"
    paths = [f"temp/{preview.name}", "output/private.txt", f"{folder}/slow_00001_.png", "output/missing.png"]
    fetched.clear()
    stored_before = set(gateway.stored)
    camera = {"a": [entry_of(path) for path in paths]}
    attack = {**slow(0.01), "4": reporting({"result": ["", camera, None], "images": [entry_of(paths[0])]})}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(attack))
    assert fetched == ["slow_00001_.png"]  # its own
    assert (finish.outcome, finish.node_failed) == (Outcome.SUCCEEDED, False)
    hidden = {**entry_of(paths[0]), "filename": "ComfyUI_temp_.png"}
    assert [(output.node_id, output.source, output.value) for output in finish.outputs] == [
        ("3", OutputSource.FILE, None),
        ("4", OutputSource.VALUE, ""),
        ("4", OutputSource.VALUE, {"a": [hidden, *map(entry_of, paths[1:])]}),
        ("4", OutputSource.VALUE, hidden),
    ]
    new = [content for output, content in gateway.stored.items() if output not in stored_before]
    assert len(new) == len(finish.outputs)
    assert not any(str(victim.ref.job_id).encode() in content for content in new[1:] if content.startswith(b"\x89PNG"))
    assert content_of("output/private.txt") not in new


async def test_file_that_a_later_prompt_replaced_is_not_stored(
    start_executor, scheduler, gateway, proxy: HostileNode, tmp_path
) -> None:
    """A file outside of the attempt's folder can be overwritten before it is fetched."""
    file = tmp_path / "node" / "output" / "fixed.txt"

    async def replace_after_lookup(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view" and asked.range == "bytes=0-0":
            file.write_text("of somebody else")
            os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000_000))
        return reply

    proxy.change_reply = replace_after_lookup
    await start_executor(comfyui_url=proxy.url)
    graph = {"1": reporting({"files": [entry_of("output/fixed.txt")]}, "output/fixed.txt")}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert file.read_text() == "of somebody else"
    assert (finish.outcome, finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
    assert not finish.node_failed
    assert not gateway.stored


async def test_missing_file_outside_of_the_attempt_folder_does_not_count_against_the_node(
    start_executor, scheduler, proxy: HostileNode
) -> None:
    async def lose_file(asked: NodeRequest, reply: Reply) -> Reply:
        return Reply(b"", status=404) if asked.route == "view" and asked.range != "bytes=0-0" else reply

    proxy.change_reply = lose_file
    await start_executor(comfyui_url=proxy.url)
    graph = {"1": reporting({"files": [entry_of("output/lost.txt")]}, "output/lost.txt")}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert proxy.replaced["view"]
    assert (finish.outcome, finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
    assert not finish.node_failed


async def test_failed_lookup_of_a_file_is_retried(start_executor, scheduler, gateway, proxy: HostileNode) -> None:
    async def fail_often(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view" and proxy.replaced["view"] < MAX_FILE_ATTEMPTS + 1:
            return Reply(b"", status=503)
        return reply

    proxy.change_reply = fail_often
    await start_executor(comfyui_url=proxy.url, unreachable_s=60)
    graph = {"1": reporting({"images": [entry_of("temp/seen.png")]}, "temp/seen.png")}
    (output,) = (await scheduler.wait_for_finish(await scheduler.offer_job(graph))).outputs
    assert proxy.replaced["view"] == MAX_FILE_ATTEMPTS + 1
    assert (output.source, gateway.stored[output.id]) == (OutputSource.FILE, content_of("temp/seen.png"))


async def test_file_without_an_answer_fails_the_attempt_but_a_text_without_an_answer_does_not(
    start_executor, scheduler, proxy: HostileNode
) -> None:
    """Otherwise a preview would silently be replaced by JSON, in a job that succeeds and is charged."""

    async def fail(asked: NodeRequest, reply: Reply) -> Reply:
        return Reply(b"", status=502) if asked.route == "view" else reply

    proxy.change_reply = fail
    await start_executor(comfyui_url=proxy.url, unreachable_s=0.1)
    graph = {"1": reporting({"images": [entry_of("temp/seen.png")]}, "temp/seen.png")}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert (finish.outcome, finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
    assert (finish.node_failed, finish.node_died, finish.outputs) == (False, False, ())
    graph = {"1": reporting({"result": ["seen.png"]})}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert [(output.source, output.value) for output in finish.outputs] == [(OutputSource.VALUE, "seen.png")]


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "running"])
async def test_preview_that_a_restart_of_the_node_deleted_fails_the_attempt(
    start_executor, scheduler, proxy: HostileNode, *, restarted: bool
) -> None:
    """A node deletes its temporary folder and its history when it starts. Other missing files are JSON."""

    async def restart_at_lookup(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view":
            return Reply(b"", status=404)
        has_restarted = restarted and asked.route == "history" and proxy.replaced["view"] > 0
        return Reply(b"{}") if has_restarted else reply

    proxy.change_reply = restart_at_lookup
    await start_executor(comfyui_url=proxy.url)
    graph = {"1": reporting({"images": [entry_of("temp/seen.png")]}, "temp/seen.png")}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    if restarted:
        assert (finish.outcome, finish.error.code) == (Outcome.NODE_FAULT, "node.fault")
        assert (finish.node_failed, finish.node_died) == (False, False)
    else:
        assert [output.source for output in finish.outputs] == [OutputSource.VALUE]


async def test_lookups_of_guessed_file_names_are_limited(start_executor, scheduler, proxy: HostileNode) -> None:
    asked_for: list[str] = []

    async def record_lookup(asked: NodeRequest, reply: Reply) -> Reply:
        if asked.route == "view" and asked.range == "bytes=0-0":
            asked_for.append(asked.query["filename"])
        return reply

    proxy.change_reply = record_lookup
    await start_executor(comfyui_url=proxy.url)
    own = [f"temp/own_{number:03}.png" for number in range(MAX_MISSES)]
    guesses = [f"temp/guess_{number:03}.png" for number in range(3 * MAX_MISSES)]
    graph = {"1": reporting({"images": [*map(entry_of, own), {"a": [*map(entry_of, guesses)]}]}, *own)}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert [output.source for output in finish.outputs] == [*[OutputSource.FILE] * len(own), OutputSource.VALUE]
    assert len(own) + MAX_MISSES <= len(asked_for) < len(own) + MAX_MISSES + MAX_CONCURRENT


async def test_any_number_of_strings_can_name_files(start_executor, scheduler) -> None:
    """A string does not say whether its file is in the output or in the temporary folder."""
    await start_executor()
    names = [f"named_{number:03}.png" for number in range(2 * MAX_MISSES)]
    report = {"first": names[:MAX_MISSES], "second": names[MAX_MISSES:]}
    graph = {"1": reporting(report, *(f"temp/{name}" for name in names))}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert [output.source for output in finish.outputs] == [OutputSource.FILE] * len(names)


async def test_output_nodes_without_outputs_are_listed_in_a_warning(start_executor, scheduler) -> None:
    await start_executor()
    graph = {"1": reporting({"text": ["something"]}), "2": reporting({}), "3": reporting({"images": [None]})}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph))
    assert finish.outcome is Outcome.SUCCEEDED
    assert [output.node_id for output in finish.outputs] == ["1"]
    assert finish.warnings == (
        JobWarning(
            code="job.node_without_outputs",
            message="These output nodes produced no output: 2 (SimReport), 3 (SimReport).",
        ),
    )
