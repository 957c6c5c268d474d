"""Bound fields of log lines."""

import asyncio

import pytest

from chassis.telemetry.logs import add_bound, bound, bound_here


def test_nested_log_fields_are_added_and_removed_in_order() -> None:
    with bound(request_id="r", job_id="outer"):
        with bound(job_id="inner"):
            assert bound_here() == {"request_id": "r", "job_id": "inner"}
        assert bound_here() == {"request_id": "r", "job_id": "outer"}
    assert bound_here() == {}


def test_log_fields_are_removed_after_an_exception() -> None:
    with pytest.raises(LookupError), bound(request_id="r"):
        raise LookupError
    assert bound_here() == {}


def test_log_line_contains_bound_fields_and_its_own() -> None:
    with bound(request_id="r", job_id="bound"):
        assert add_bound(None, "info", {"event": "e", "job_id": "said"}) == {
            "request_id": "r",
            "job_id": "said",
            "event": "e",
        }


async def test_log_fields_do_not_leak_into_concurrent_tasks() -> None:
    async def bear(name: str) -> str:
        with bound(request_id=name):
            await asyncio.sleep(0)
            return str(bound_here()["request_id"])

    first, second = await asyncio.gather(bear("a"), bear("b"))
    assert (first, second) == ("a", "b")
