"""The fields that lines bear."""

import asyncio

import pytest

from chassis.telemetry.logs import add_bound, bound, bound_here


def test_what_is_bound_inside_is_added_to_what_is_bound_outside_and_ends_before_it() -> None:
    with bound(request_id="r", job_id="outer"):
        with bound(job_id="inner"):
            assert bound_here() == {"request_id": "r", "job_id": "inner"}
        assert bound_here() == {"request_id": "r", "job_id": "outer"}
    assert bound_here() == {}


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(LookupError), bound(request_id="r"):
        raise LookupError
    assert bound_here() == {}


def test_a_line_bears_it_beside_what_it_says_itself() -> None:
    with bound(request_id="r", job_id="bound"):
        assert add_bound(None, "info", {"event": "e", "job_id": "said"}) == {
            "request_id": "r",
            "job_id": "said",
            "event": "e",
        }


async def test_nobody_bears_what_is_bound_elsewhere_at_the_same_time() -> None:
    async def bear(name: str) -> str:
        with bound(request_id=name):
            await asyncio.sleep(0)
            return str(bound_here()["request_id"])

    first, second = await asyncio.gather(bear("a"), bear("b"))
    assert (first, second) == ("a", "b")
