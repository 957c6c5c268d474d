"""Checks passwords in constant time and counts failures."""

from dataclasses import dataclass
from enum import StrEnum

from auth.domain.login_delay import is_delayed
from auth.domain.password_hash import Checked
from auth.store import logins
from auth.store.logins import NOBODY, Login
from auth.usecases.hashing import HashingPool
from chassis.database.statement import Connection


class Reason(StrEnum):
    """Why a password was refused, for the audit log only."""

    UNKNOWN = "unknown"
    WRONG = "wrong"
    DELAYED = "delayed"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of checking a password against an account; ``login`` is None for an unknown account."""

    login: Login | None
    checked: Checked


async def check(hashing: HashingPool, login: Login | None, password: str) -> Claim:
    """Verify the password outside of any transaction, with one verification whatever was found."""
    return Claim(login, await hashing.check(password, login.password_hash if login else None))


async def settle(connection: Connection, claim: Claim) -> Reason | None:
    """Decide under the account's lock and count the attempt; None when the password is accepted.

    Concurrent attempts are serialized here, so they gain no more guesses than sequential ones. Attempts during a delay
    are not counted and do not extend it.
    """
    found = claim.login
    login = await logins.lock(connection, found.user_id if found else NOBODY)
    reason = _reason(claim, login)
    if reason is not None or login is None:
        await logins.failed(connection, login.user_id if login else NOBODY, counts=reason is Reason.WRONG)
        return reason
    await logins.succeeded(connection, login.user_id, upgraded=claim.checked.upgraded)
    return None


def _reason(claim: Claim, login: Login | None) -> Reason | None:
    if claim.login is None or login is None:
        return Reason.UNKNOWN
    if is_delayed(login.failed_logins, login.failed_login_at, login.now):
        return Reason.DELAYED
    if not claim.checked.matches or login.password_hash != claim.login.password_hash:
        return Reason.WRONG
    return None if login.is_active else Reason.DEACTIVATED
