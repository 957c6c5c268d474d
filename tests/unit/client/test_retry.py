import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyfleet_client.errors import (
    ApiError,
    Forbidden,
    InvalidRequest,
    LimitReached,
    NotFound,
    ServerUnreachable,
    Unavailable,
    build_api_error,
)
from comfyfleet_client.retry import Retry

RETRY = Retry(tries=4, first_delay_s=1, max_delay_s=3, max_retry_after_s=60)


def test_retry_delays_double_up_to_the_maximum() -> None:
    assert [RETRY.compute_next_delay_s(ServerUnreachable("cut"), failed, 1.0) for failed in (1, 2, 3, 4)] == [
        1,
        2,
        3,
        None,
    ]


@given(st.integers(1, 3), st.floats(0, 1))
def test_jitter_keeps_a_delay_in_its_upper_half(failed: int, chance: float) -> None:
    delay_s, longest = RETRY.compute_next_delay_s(ServerUnreachable("cut"), failed, chance), min(3, 2 ** (failed - 1))
    assert delay_s is not None
    assert longest / 2 <= delay_s <= longest


def test_retry_after_is_honored_unless_too_long() -> None:
    assert RETRY.compute_next_delay_s(LimitReached(429, "slow", retry_after=7), 1, 1.0) == 8
    assert RETRY.compute_next_delay_s(Unavailable(503, "away", retry_after=0), 1, 0.0) == 0.5
    assert RETRY.compute_next_delay_s(LimitReached(429, "tomorrow", retry_after=3600), 1, 1.0) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501])
def test_permanent_failures_are_not_retried(status: int) -> None:
    assert RETRY.compute_next_delay_s(build_api_error(status, {}, b""), 1, 1.0) is None


def test_uncertain_requests_are_retried_only_when_repeatable() -> None:
    for failure in (ServerUnreachable("cut", sent=True), Unavailable(503, "away"), Unavailable(504, "late")):
        assert RETRY.compute_next_delay_s(failure, 1, 1.0) == 1
        assert RETRY.compute_next_delay_s(failure, 1, 1.0, repeatable=False) is None
    for passing in (ServerUnreachable("refused", sent=False), LimitReached(429, "slow")):
        assert RETRY.compute_next_delay_s(passing, 1, 1.0, repeatable=False) == 1


def test_problem_response_raises_its_own_exception_type() -> None:
    body = (
        b'{"detail":"Not like this.","code":"request.invalid","request_id":"r1",'
        b'"errors":[{"pointer":"/width","code":"range","message":"too wide","allowed":[64,2048]},'
        b'{"message":"no such model","node_id":"4","input":"ckpt_name"},7]}'
    )
    error = build_api_error(422, {"retry-after": "3"}, body)
    assert type(error) is InvalidRequest
    assert (error.status, str(error), error.code, error.request_id, error.retry_after) == (
        422, "Not like this.", "request.invalid", "r1", 3.0,
    )  # fmt: skip
    assert list(map(str, error.errors)) == [
        "/width: too wide (valid: 64, 2048)",
        "node 4, ckpt_name: no such model",
    ]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Forbidden), (404, NotFound), (418, ApiError), (502, Unavailable), (599, Unavailable)]
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"errors":3}'])
def test_error_responses_without_a_problem_body_raise_too(status: int, kind: type[ApiError], body: bytes) -> None:
    error = build_api_error(status, {"x-request-id": "r2", "retry-after": "soon"}, body)
    assert isinstance(error, kind)
    assert str(error)
    assert (error.request_id, error.retry_after, error.errors) == ("r2", None, ())
