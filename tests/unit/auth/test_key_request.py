"""Validation of requests for new API keys."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.key_request import MAX_LIFETIME, hash_request, validate_expiry, validate_name, validate_scopes
from contracts.auth.accounts import Role
from contracts.auth.credentials import Scope, list_scopes
from contracts.auth.keys import CreateKey, InvalidKey, ScopeNotGranted

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = timedelta(days=90)
EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))
SCOPES = st.lists(st.sampled_from(Scope), min_size=1, max_size=len(Scope)).map(tuple)


def asked(**fields: Any) -> CreateKey:
    return CreateKey(**({"name": "laptop", "scopes": (Scope.JOBS_READ,), "granted": tuple(Scope)} | fields))


@pytest.mark.requirement("B-36")
@given(scopes=SCOPES, granted=st.lists(st.sampled_from(Scope)).map(tuple), role=st.sampled_from(Role))
def test_key_gets_requested_scopes_only_if_its_creator_has_them(
    scopes: tuple[Scope, ...], granted: tuple[Scope, ...], role: Role
) -> None:
    command = asked(scopes=scopes, granted=granted)
    if set(scopes) <= set(granted) and set(scopes) <= set(list_scopes(role)):
        given_ = validate_scopes(command, role)
        assert set(given_) == set(scopes)
        assert len(given_) == len(set(scopes))
    else:
        with pytest.raises(ScopeNotGranted):
            validate_scopes(command, role)


@pytest.mark.requirement("B-36")
def test_key_expiry_is_bounded_by_366_days() -> None:
    assert validate_expiry(asked(), NOW, LIFE) == NOW + LIFE
    latest = NOW + MAX_LIFETIME
    assert validate_expiry(asked(expires_at=latest), NOW, LIFE) == latest
    soonest = NOW + timedelta(microseconds=1)
    assert validate_expiry(asked(expires_at=soonest), NOW, LIFE) == soonest
    ends = (datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST))
    near = (NOW, NOW - timedelta(days=1), latest + timedelta(microseconds=1), NOW.replace(tzinfo=None))
    for time in near + ends:
        hash_request(asked(expires_at=time))
        with pytest.raises(InvalidKey) as invalid:
            validate_expiry(asked(expires_at=time), NOW, LIFE)
        assert [error.pointer for error in invalid.value.details.errors] == ["/expires_at"]


@pytest.mark.requirement("B-36")
@pytest.mark.parametrize("name", ["\t", " \u00a0 ", "a\tb", "a\u0000", "\u200b", "a\u2028b", "\x7f", "\ue000"])
def test_invisible_key_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidKey):
        validate_name(asked(name=name))


def test_key_name_may_use_any_script() -> None:
    assert [validate_name(asked(name=name)) for name in (" my key ", "مفتاح", "钥匙", "🔑")] == [
        "my key",
        "مفتاح",
        "钥匙",
        "🔑",
    ]


def test_equivalent_requests_have_the_same_hash() -> None:
    both = (Scope.JOBS_READ, Scope.JOBS_WRITE)
    usual = hash_request(asked(scopes=both))
    same: tuple[dict[str, Any], ...] = (
        {"scopes": both[::-1]},
        {"scopes": both + both[:1]},
        {"name": " laptop "},
        {"granted": both},
        {"idempotency_key": "k"},
        {"ip": "::1"},
    )
    assert {hash_request(asked(**{"scopes": both, **fields})) for fields in same} == {usual}
    others: tuple[dict[str, Any], ...] = ({"name": "other"}, {"scopes": both[:1]}, {"expires_at": NOW})
    assert len({usual, *(hash_request(asked(**{"scopes": both, **fields})) for fields in others)}) == 4
