import json
from typing import Any
from uuid import uuid4

import pytest

from contracts.scheduler.outputs import Output, OutputKind, OutputSource
from executor.domain.collect_outputs import collect_outputs
from executor.domain.file_ownership import FileOwnership
from executor.domain.inline_values import MAX_JOB_BYTES, extract_inline_value, limit_inline_values


def inline(value: Any) -> Any:
    (found,) = collect_outputs({"outputs": {"1": {"value": [value]}}}, {}, FileOwnership("job/1"))
    return extract_inline_value(found)


@pytest.mark.parametrize("value", ["a", "é\n\t", 42, -0.5, True, {"a": [1, None, {"b": "c"}]}, 2**53 - 1])
def test_small_value_is_inlined_in_the_output_record(value: Any) -> None:
    assert inline(value) == value


@pytest.mark.parametrize("value", ["\x00", "\x1b[31m", "\ud800", {"\x00": 1}, 2**53, 1e300, [[[[[[[[[[[1]]]]]]]]]]]])
def test_value_that_a_database_or_browser_cannot_hold_is_not_inlined(value: Any) -> None:
    assert inline(value) is None


def test_file_output_has_no_inline_value() -> None:
    entry = {"outputs": {"1": {"images": [{"filename": "a.png", "subfolder": "job/1"}]}}}
    (found,) = collect_outputs(entry, {}, FileOwnership("job/1"))
    assert extract_inline_value(found) is None


def test_total_size_of_inlined_values_per_job_is_bounded() -> None:
    size = MAX_JOB_BYTES // 2
    outputs = [output_of("x" * size), output_of("y" * size), output_of("z"), output_of(None)]
    bounded = limit_inline_values(outputs)
    assert [output.value for output in bounded] == ["x" * size, "y" * size, None, None]
    assert [output.id for output in bounded] == [output.id for output in outputs]


def output_of(value: Any) -> Output:
    return Output(
        id=uuid4(),
        node_id="1",
        name="1.txt",
        kind=OutputKind.TEXT,
        content_type="text/plain",
        size_bytes=len(json.dumps(value)) - 2,
        sha256="0" * 64,
        source=OutputSource.VALUE,
        value=value,
    )
