"""Refresh tokens: rotation, and detection of stolen tokens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.api_key import ApiKeyPepper, new_api_key
from auth.domain.refresh_token import (
    RefreshDecision,
    RefreshTokenPepper,
    SessionSnapshot,
    looks_like_refresh_token,
    new_refresh_token,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
IDLE, GRACE = timedelta(days=7), timedelta(seconds=10)
FAMILY = SessionSnapshot(
    generation=5, rotated_at=NOW - timedelta(seconds=5), expires_at=NOW + timedelta(days=1), ended_at=None,
    is_active=True, now=NOW,
)  # fmt: skip


def use(family: SessionSnapshot, generation: int) -> RefreshDecision:
    return family.decide_refresh(generation, idle=IDLE, grace=GRACE)


@pytest.mark.requirement("S-47")
def test_refresh_token_has_256_random_bits() -> None:
    tokens = {new_refresh_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(looks_like_refresh_token(token) and len(token) == 47 for token in tokens)


@pytest.mark.requirement("B-34")
def test_malformed_refresh_token_is_recognized() -> None:
    token = new_refresh_token()
    others = ("", token[:-1], token + "A", " " + token, token + "\n", token.upper(), token[:-1] + "é", "x" * 2**20)
    assert not any(map(looks_like_refresh_token, (*others, new_api_key().text, "eyJh.eyJ.sig")))


@pytest.mark.requirement("S-47")
def test_refresh_token_digest_is_unique_to_its_token() -> None:
    token, pepper = new_refresh_token(), RefreshTokenPepper("secret")
    assert pepper.digest(token) == RefreshTokenPepper("secret").digest(token)
    others = {pepper.digest(new_refresh_token()), RefreshTokenPepper("other").digest(token)}
    assert pepper.digest(token) not in others | {ApiKeyPepper("secret").digest(new_api_key())}
    assert token.encode() not in pepper.digest(token)


@pytest.mark.requirement("S-48")
def test_only_the_previous_refresh_token_has_a_grace_period() -> None:
    assert [use(FAMILY, generation) for generation in (5, 4, 3, 1)] == [
        RefreshDecision.ROTATE, RefreshDecision.REISSUE, RefreshDecision.REUSED, RefreshDecision.REUSED,
    ]  # fmt: skip
    assert use(replace(FAMILY, rotated_at=NOW - GRACE), 4) is RefreshDecision.REISSUE
    assert use(replace(FAMILY, rotated_at=NOW - GRACE - timedelta(microseconds=1)), 4) is RefreshDecision.REUSED


@pytest.mark.requirement("S-47")
@given(st.integers(1, 5))
def test_ended_session_refuses_every_token(generation: int) -> None:
    for over in (
        replace(FAMILY, ended_at=NOW),
        replace(FAMILY, is_active=False),
        replace(FAMILY, expires_at=NOW),
        replace(FAMILY, rotated_at=NOW - IDLE),
    ):
        assert use(over, generation) is RefreshDecision.SESSION_ENDED


@pytest.mark.requirement("S-47")
@given(st.integers(1, 100), st.integers(0, 99), st.timedeltas(timedelta(0), timedelta(days=10)))
def test_only_the_current_refresh_token_can_be_rotated(current: int, back: int, since: timedelta) -> None:
    family = replace(FAMILY, generation=current, rotated_at=NOW - since)
    assert (use(family, current - back) is RefreshDecision.ROTATE) == (back == 0 and since < IDLE)
    assert (use(family, current - back) is RefreshDecision.REISSUE) == (back == 1 and since <= GRACE)
