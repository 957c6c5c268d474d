"""Constructs the auth service."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from fastapi import FastAPI

from auth.consumers import audit, class_rules, credentials, erasures, keys, registration, sessions, users
from auth.domain.api_key import ApiKeyPepper
from auth.domain.password import PasswordPolicy
from auth.domain.password_hash import PasswordHasher
from auth.domain.quota_group import AddressPepper
from auth.domain.refresh_token import RefreshTokenPepper
from auth.domain.signing_key import SigningKeyCipher
from auth.loops import prune, record_key_uses
from auth.settings import Settings
from auth.store import keys as keys_store
from auth.usecases import audit_log
from auth.usecases.announce_changes import Announcer
from auth.usecases.archive_audit import AuditArchiver
from auth.usecases.audit_log import ChainVerification
from auth.usecases.bootstrap import bootstrap
from auth.usecases.change_password import PasswordChanger
from auth.usecases.change_tier import TierChanger
from auth.usecases.change_user import UserChanger
from auth.usecases.create_key import KeyCreator
from auth.usecases.end_session import SessionEnder
from auth.usecases.erase_account import AccountEraser
from auth.usecases.hash_passwords import HashingPool
from auth.usecases.list_keys import KeyLister
from auth.usecases.list_sessions import SessionLister
from auth.usecases.list_tiers import TierLister
from auth.usecases.list_users import UserLister
from auth.usecases.manage_class_rules import ClassRuleChanger, ClassRuleReader
from auth.usecases.manage_invites import InviteService
from auth.usecases.manage_login_links import LoginLinkCreator, LoginLinkRedeemer
from auth.usecases.manage_tickets import TicketService
from auth.usecases.open_session import SessionOpener
from auth.usecases.read_account import AccountReader
from auth.usecases.read_audit import AuditReader
from auth.usecases.read_changes import ChangeReader
from auth.usecases.read_erasures import ErasureReader
from auth.usecases.read_tenant import TenantReader
from auth.usecases.record_action import ActionRecorder
from auth.usecases.record_denial import DenialRecorder
from auth.usecases.record_key_uses import KeyUseRecorder
from auth.usecases.refresh_session import SessionRefresher
from auth.usecases.register import Registrar
from auth.usecases.revoke_key import KeyRevoker
from auth.usecases.sign_tokens import ROTATE_EVERY_S, AccessTokenSigner
from auth.usecases.verify_credential import CredentialVerifier
from chassis.database.postgres import CONNECT_TIMEOUT_S, Database
from chassis.database.schema import SchemaCheck
from chassis.http.app import create_web_app
from chassis.lifecycle import Startup, run_service
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from contracts.graph_policy.policy import GraphPolicy
from contracts.permissions import inbox_prefix

ARCHIVE_EVERY_S = 3600.0


def create_app(
    settings: Settings,
    metrics: Metrics | None = None,
    shutdown: Shutdown | None = None,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> FastAPI:
    """Build the ASGI application: health over HTTP, everything else over NATS.

    Args:
        connect_timeout_s: time to connect to the database, and to wait for a free connection, seconds.
    """
    metrics = metrics or Metrics("auth")
    database = Database(
        settings.database, name="auth", pool_size=settings.database_pool, connect_timeout_s=connect_timeout_s
    )
    schema = SchemaCheck("auth", database)
    metrics.record_build(schema=schema.head)
    metrics.watch_pools(database.count_connections)
    bus = Bus(
        settings.nats_url,
        name="auth",
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        inbox_prefix=inbox_prefix("auth"),
        tls=settings.nats_tls,
        record_request=metrics.record_rpc,
    )
    metrics.watch_expired_requests(bus.expired_requests)
    pepper = ApiKeyPepper(*settings.accepted_secret_keys)
    credentials.register(
        bus,
        verifier=CredentialVerifier(database, pepper),
        change_reader=ChangeReader(database),
        tickets=TicketService(database),
    )
    announcer = Announcer(bus)
    users.register(bus, tenant_reader=TenantReader(database), account_reader=AccountReader(database))
    users.register_user_administration(
        bus,
        user_lister=UserLister(database),
        user_changer=UserChanger(database, announcer),
        tier_lister=TierLister(database),
        tier_changer=TierChanger(database, announcer),
    )
    rules = settings.class_rules
    class_rules.register(
        bus, reader=ClassRuleReader(database, rules), changer=ClassRuleChanger(database, rules, announcer)
    )
    registration.register(bus, invites=InviteService(database))
    audit.register(bus, recorder=ActionRecorder(database), reader=AuditReader(database))
    keys.register(
        bus,
        creator=KeyCreator(database, pepper, life=timedelta(days=settings.key_days), max_keys=settings.keys_per_user),
        lister=KeyLister(database),
        revoker=KeyRevoker(database, announcer),
    )
    signer = _create_signer(settings, database)
    hashing = HashingPool(
        PasswordHasher(), threads=settings.hashing_threads or _count_spare_cores(), queue=settings.hashing_queue
    )
    _register_sessions(bus, settings, database, announcer=announcer, signer=signer, hashing=hashing)
    eraser = AccountEraser(database, hashing, announcer)
    erasures.register(bus, eraser=eraser, reader=ErasureReader(database))
    loops = [
        Loop("auth.rotate_signing_keys", signer.rotate_keys, every_s=ROTATE_EVERY_S),
        Loop(
            "auth.record_key_uses",
            record_key_uses.KeyUseListener(bus, KeyUseRecorder(database)).tick,
            every_s=record_key_uses.EVERY_S,
        ),
        Loop(
            "auth.prune",
            prune.Pruner(
                database,
                idle=timedelta(days=settings.refresh_token_idle_days),
                shared_quota=timedelta(days=settings.shared_quota_days),
            ).tick,
            every_s=prune.EVERY_S,
        ),
    ]

    if (archiver := _create_archiver(settings, database)) is not None:
        loops.append(Loop("auth.archive_audit", archiver.tick, every_s=ARCHIVE_EVERY_S))

    startup = Startup()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with run_service(
            bus,
            database=database,
            schema=schema,
            within_s=settings.start_within_s,
            startup=startup,
            metrics=metrics,
            loops=loops,
        ):
            yield
        await database.close()
        hashing.close()

    dependencies = {"nats": bus.probe, "postgres": database.probe}
    probes = {**dependencies, "schema": schema.probe, "startup": startup.probe}
    return create_web_app(
        "auth", lifespan=lifespan, metrics=metrics, probes=probes, dependencies=dependencies, shutdown=shutdown
    )


def _register_sessions(
    bus: Bus,
    settings: Settings,
    database: Database,
    *,
    announcer: Announcer,
    signer: AccessTokenSigner,
    hashing: HashingPool,
) -> None:
    policy, pepper = PasswordPolicy(settings.password_min_length), RefreshTokenPepper(*settings.accepted_secret_keys)
    grace, idle = timedelta(seconds=settings.refresh_grace_s), timedelta(days=settings.refresh_token_idle_days)
    sessions.register_accounts(
        bus,
        registrar=Registrar(
            database,
            hashing,
            policy,
            AddressPepper(*settings.accepted_secret_keys),
            mode=settings.registration,
            shared_quota=timedelta(days=settings.shared_quota_days),
        ),
        password_changer=PasswordChanger(database, hashing, policy, announcer, token_life=signer.token_life + grace),
        denial_recorder=DenialRecorder(database),
    )
    opener = SessionOpener(
        database, hashing, signer, pepper, life=timedelta(days=settings.refresh_token_days), idle=idle
    )
    sessions.register_login_links(
        bus, creator=LoginLinkCreator(database), redeemer=LoginLinkRedeemer(database, opener, signer)
    )
    sessions.register_sessions(
        bus,
        opener=opener,
        refresher=SessionRefresher(
            database,
            signer,
            pepper,
            announcer,
            idle=idle,
            grace=grace,
        ),
        ender=SessionEnder(database, announcer),
        lister=SessionLister(database, idle=idle),
        signer=signer,
    )


def _create_signer(settings: Settings, database: Database) -> AccessTokenSigner:
    return AccessTokenSigner(
        database,
        SigningKeyCipher(*settings.accepted_secret_keys),
        token_life=timedelta(minutes=settings.access_token_expire_minutes),
        key_life=timedelta(days=settings.signing_key_days),
    )


def _create_archiver(settings: Settings, database: Database) -> AuditArchiver | None:
    if settings.audit_days is None or settings.audit_archive is None:
        return None
    return AuditArchiver(database, settings.audit_archive, age=timedelta(days=settings.audit_days))


def _count_spare_cores() -> int:
    """Return the number of cores that this process may use minus one, but at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1) if sys.platform == "linux" else max(1, (os.cpu_count() or 1) - 1)


async def rotate_keys(settings: Settings) -> str | None:
    """Create the next signing key and return its id, or None when one is already scheduled."""
    database = Database(settings.database, name="auth")
    try:
        return await _create_signer(settings, database).rotate_keys_now()
    finally:
        await database.close()


async def count_keys_by_secret_key(settings: Settings) -> tuple[int, int, datetime | None]:
    """Count working API keys whose hashes depend on the current secret key, and those that depend on earlier ones.

    Returns:
        Both numbers, and when a key that depends on an earlier secret key was last used.
    """
    database = Database(settings.database, name="auth")
    try:
        async with database.connection() as connection:
            counts = await keys_store.count_keys_by_pepper(connection)
    finally:
        await database.close()
    current, _ = counts.pop(ApiKeyPepper(*settings.accepted_secret_keys).pepper_id, (0, None))
    last_used = max((used for _, used in counts.values() if used is not None), default=None)
    return current, sum(number for number, _ in counts.values()), last_used


async def create_login_link(settings: Settings, username: str) -> str:
    """Create a login link for the user of that name; returns its token."""
    database = Database(settings.database, name="auth")
    try:
        created = await LoginLinkCreator(database).create_for_operator(username)
    finally:
        await database.close()
    return created.token.get_secret_value()


async def verify_audit(settings: Settings) -> ChainVerification:
    database = Database(settings.database, name="auth")
    try:
        return await audit_log.verify_chain(database)
    finally:
        await database.close()


async def verify_audit_files(settings: Settings) -> int | None:
    """Verify the archives; returns the number of their entries, or None if ``audit_archive`` is not set.

    Raises:
        ArchiveDamaged: says which file is missing or was changed.
    """
    if settings.audit_archive is None:
        return None
    database = Database(settings.database, name="auth")
    try:
        return await audit_log.verify_files(database, settings.audit_archive)
    finally:
        await database.close()


async def archive_audit(settings: Settings) -> int | None:
    """Archive old entries now. Returns their number; None if ``audit_days`` is not set. Raises ``ArchiveDamaged``."""
    database = Database(settings.database, name="auth")
    try:
        archiver = _create_archiver(settings, database)
        return None if archiver is None else await archiver.archive_old_entries()
    finally:
        await database.close()


async def export_audit(settings: Settings, write: Callable[[dict[str, Any]], None]) -> None:
    """Write every entry of the audit log, oldest first."""
    database = Database(settings.database, name="auth")
    try:
        async for entry in audit_log.export_entries(database):
            write(entry)
    finally:
        await database.close()


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
    database = Database(settings.database, name="auth")
    try:
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
    finally:
        await database.close()
    return {"user_id": str(result.user_id), "username": username, "key": result.key}
