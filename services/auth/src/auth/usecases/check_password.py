"""Checks passwords in constant time and counts failures."""

from dataclasses import dataclass
from enum import StrEnum

from auth.domain.login_delay import is_delayed
from auth.domain.password_hash import PasswordCheck
from auth.store import logins
from auth.store.logins import UNKNOWN_USER_ID, Login
from auth.usecases.hash_passwords import HashingPool
from chassis.database.statement import Connection


class RefusalReason(StrEnum):
    """Why a password was refused, for the audit log only."""

    UNKNOWN = "unknown"
    WRONG = "wrong"
    DELAYED = "delayed"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True)
class CheckedLogin:
    """The result of checking a password. ``login`` is None if the account does not exist."""

    login: Login | None
    password_check: PasswordCheck


async def check_password(hashing: HashingPool, login: Login | None, password: str) -> CheckedLogin:
    """Verify the password outside of any transaction. Takes equally long for an unknown account."""
    return CheckedLogin(login, await hashing.verify(password, login.password_hash if login else None))


async def accept_or_refuse_login(connection: Connection, checked_login: CheckedLogin) -> RefusalReason | None:
    """Lock the account, decide whether it may log in and count the attempt; returns None when it may.

    Concurrent attempts are serialized here, so they gain no more guesses than sequential ones. Attempts during a delay
    are not counted and do not extend it.
    """
    found = checked_login.login
    login = await logins.lock_login(connection, found.user_id if found else UNKNOWN_USER_ID)
    reason = _find_refusal_reason(checked_login, login)
    if reason is not None or login is None:
        await logins.record_login_failure(
            connection, login.user_id if login else UNKNOWN_USER_ID, is_counted=reason is RefusalReason.WRONG
        )
        return reason
    await logins.record_login_success(connection, login.user_id, upgraded=checked_login.password_check.upgraded)
    return None


def _find_refusal_reason(checked_login: CheckedLogin, login: Login | None) -> RefusalReason | None:
    if checked_login.login is None or login is None:
        return RefusalReason.UNKNOWN
    if is_delayed(login.failed_logins, login.failed_login_at, login.now):
        return RefusalReason.DELAYED
    if not checked_login.password_check.matches or login.password_hash != checked_login.login.password_hash:
        return RefusalReason.WRONG
    return None if login.is_active else RefusalReason.DEACTIVATED
