"""An attempt stores at most as many images as are reserved for its job; all kinds of output count by the same rule."""

from typing import Any

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.outputs import OutputKind
from tests.integration.executor.graphs import hello, picture

pytestmark = pytest.mark.usefixtures("gateway")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def saved(source: str, prefix: str = "a") -> dict[str, Any]:
    return node("SaveImage", images=[source, 0], filename_prefix=prefix)


def multiplied(copies: int) -> dict[str, Any]:
    """Return a graph with a custom class that produces more images than the graph shows."""
    return {"1": picture(1), "2": node("SimMultiply", image=["1", 0], copies=copies), "3": saved("2")}


LATENT = node("EmptyLatentImage", width=64, height=64, batch_size=8)
VIDEO = node("EmptyHunyuanLatentVideo", width=64, height=64, length=33, batch_size=1)
SOUND = node("EmptyAudio", duration=0.01, sample_rate=8000, channels=1)

COUNTED: dict[str, tuple[dict[str, Any], int]] = {
    "pictures": ({"1": picture(3), "2": saved("1")}, 3),
    "an animation of 16 frames": (
        {
            "1": picture(16),
            "2": node(
                "SaveAnimatedWEBP", images=["1", 0], filename_prefix="a", fps=6.0, lossless=True, quality=80,
                method="default",
            ),
        },
        1,
    ),
    "a video of 33 frames": (
        {
            "1": picture(33),
            "2": node("SaveWEBM", images=["1", 0], filename_prefix="a", codec="vp9", fps=24.0, crf=32.0),
        },
        3,
    ),
    "a latent of eight pictures": ({"1": LATENT, "2": node("SaveLatent", samples=["1", 0], filename_prefix="a")}, 8),
    "a latent of a video": ({"1": VIDEO, "2": node("SaveLatent", samples=["1", 0], filename_prefix="a")}, 3),
    "sound": ({"1": SOUND, "2": node("SaveAudio", audio=["1", 0], filename_prefix="a")}, 0),
    "text": ({"1": node("PreviewAny", source="a text")}, 0),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "images"), COUNTED.values(), ids=COUNTED)
async def test_job_that_stores_as_many_images_as_reserved_requests_no_more(
    start_executor, scheduler, graph: dict[str, Any], images: int
) -> None:
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph, images=images))
    assert (finish.outcome, finish.images, finish.warnings) == (Outcome.SUCCEEDED, images, ())
    assert scheduler.reservations == []


async def test_additional_images_are_reserved_before_they_are_stored(start_executor, scheduler, gateway) -> None:
    await start_executor()
    given = await scheduler.offer_job(multiplied(12), images=1)
    finish = await scheduler.wait_for_finish(given)
    assert [(asked.ref, asked.images) for asked in scheduler.reservations] == [(given.ref, 12)]
    assert (finish.outcome, finish.images, len(finish.outputs), finish.warnings) == (Outcome.SUCCEEDED, 12, 12, ())
    assert len(gateway.stored) == 12


async def test_outputs_beyond_the_reservation_are_dropped_with_a_warning(start_executor, scheduler, gateway) -> None:
    await start_executor()
    scheduler.max_granted_images = 5
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(multiplied(12), images=1))
    assert (finish.outcome, finish.images, len(finish.outputs)) == (Outcome.SUCCEEDED, 5, 5)
    (warning,) = finish.warnings
    assert (warning.code, warning.message.partition(":")[0]) == (
        "quota.images_exceeded",
        "7 of 12 outputs were not stored",
    )
    assert len(gateway.stored) == 5


async def test_job_without_any_storable_output_fails(start_executor, scheduler, gateway) -> None:
    await start_executor()
    scheduler.max_granted_images = 0
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(multiplied(3), images=0))
    assert finish.error is not None
    assert (finish.outcome, finish.error.code, finish.images) == (Outcome.FAILED, "quota.images_exceeded", 0)
    assert gateway.stored == {}


async def test_outputs_that_are_not_images_are_stored_without_quota(start_executor, scheduler) -> None:
    await start_executor()
    scheduler.max_granted_images = 0
    graph = multiplied(3) | {"4": node("PreviewAny", source="a text")}
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph, images=0))
    assert (finish.outcome, finish.images) == (Outcome.SUCCEEDED, 0)
    assert [output.kind for output in finish.outputs] == [OutputKind.TEXT]
    assert len(finish.warnings) == 1


async def test_images_stored_during_the_run_do_not_exceed_the_reservation(start_executor, scheduler, gateway) -> None:
    """Outputs stored while later graph nodes still run also count."""
    await start_executor()
    scheduler.max_granted_images = 4
    graph = multiplied(6) | {
        "5": node("SimSleep", image=["2", 0], seconds=0.5),
        "6": saved("5", "late"),
    }
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph, images=4))
    assert (finish.images, len(finish.outputs)) == (4, 4)
    assert len(gateway.stored) == 4
    assert finish.warnings[0].message.startswith("8 of 12 ")


async def test_preview_of_a_saved_image_uses_no_quota(start_executor, scheduler) -> None:
    await start_executor()
    finish = await scheduler.wait_for_finish(await scheduler.offer_job(hello(2), images=2))
    assert (finish.images, len(finish.outputs), finish.warnings) == (2, 5, ())
    assert scheduler.reservations == []
