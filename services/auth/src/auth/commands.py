"""The commands of auth's command line. Each opens its own database connections."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from auth.app import create_archiver, create_signer
from auth.domain.api_key import ApiKeyPepper
from auth.domain.password import PasswordPolicy
from auth.settings import Settings
from auth.store import keys
from auth.usecases import audit_log
from auth.usecases.audit_log import ChainVerification
from auth.usecases.bootstrap import bootstrap
from auth.usecases.manage_login_links import LoginLinkCreator
from chassis.database.postgres import Database
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import GraphPolicy


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database, name="auth")
    try:
        yield database
    finally:
        await database.close()


async def rotate_keys(settings: Settings) -> str | None:
    """Create the next signing key and return its id, or None when one is already scheduled."""
    async with _open_database(settings) as database:
        return await create_signer(settings, database).rotate_keys_now()


async def count_keys_by_secret_key(settings: Settings) -> tuple[int, int, datetime | None]:
    """Count working API keys whose hashes depend on the current secret key, and those that depend on earlier ones.

    Returns:
        Both numbers, and when a key that depends on an earlier secret key was last used.
    """
    async with _open_database(settings) as database, database.connection() as connection:
        counts = await keys.count_keys_by_pepper(connection)
    current, _ = counts.pop(ApiKeyPepper(*settings.accepted_secret_keys).pepper_id, (0, None))
    last_used = max((used for _, used in counts.values() if used is not None), default=None)
    return current, sum(number for number, _ in counts.values()), last_used


async def create_login_link(settings: Settings, username: str) -> str:
    """Create a login link for the user of that name; returns its token."""
    async with _open_database(settings) as database:
        created = await LoginLinkCreator(database).create_for_operator(username)
    return created.token.get_secret_value()


async def verify_audit(settings: Settings) -> ChainVerification:
    async with _open_database(settings) as database:
        return await audit_log.verify_chain(database)


async def verify_audit_files(settings: Settings) -> int | None:
    """Verify the archives; returns the number of their entries, or None if ``audit_archive`` is not set.

    Raises:
        ArchiveDamaged: says which file is missing or was changed.
    """
    if settings.audit_archive is None:
        return None
    async with _open_database(settings) as database:
        return await audit_log.verify_files(database, settings.audit_archive)


async def archive_audit(settings: Settings) -> int | None:
    """Archive old entries now. Returns their number; None if ``audit_days`` is not set. Raises ``ArchiveDamaged``."""
    async with _open_database(settings) as database:
        archiver = create_archiver(settings, database)
        return None if archiver is None else await archiver.archive_old_entries()


async def export_audit(settings: Settings, write: Callable[[dict[str, Any]], None]) -> None:
    """Write every entry of the audit log, oldest first."""
    async with _open_database(settings) as database:
        async for entry in audit_log.export_entries(database):
            write(entry)


async def bootstrap_user(
    settings: Settings,
    *,
    username: str,
    email: str | None,
    role: Role,
    tier: Tier,
    graph_policy: GraphPolicy | None = None,
    password: str | None = None,
) -> dict[str, str]:
    """Create the user unless it exists, and a new key; returns ``user_id``, ``username`` and ``key``."""
    async with _open_database(settings) as database:
        result = await bootstrap(
            database,
            ApiKeyPepper(*settings.accepted_secret_keys),
            PasswordPolicy(settings.password_min_length),
            username=username,
            email=email or f"{username}@localhost",
            role=role,
            tier=tier,
            graph_policy=graph_policy,
            password=password,
        )
    return {"user_id": str(result.user_id), "username": username, "key": result.key}
