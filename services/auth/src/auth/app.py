"""Constructs the auth service."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from auth.consumers import accounts, audit, class_rules, credentials, erasures, invites, keys, sessions, users
from auth.domain.api_key import ApiKeyPepper
from auth.domain.password import PasswordPolicy
from auth.domain.password_hash import PasswordHasher
from auth.domain.quota_group import AddressPepper
from auth.domain.refresh_token import RefreshTokenPepper
from auth.domain.signing_key import SigningKeyCipher
from auth.loops import prune, record_key_uses
from auth.settings import Settings
from auth.usecases.announce_changes import Announcer
from auth.usecases.archive_audit import AuditArchiver
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
    invites.register(bus, invites=InviteService(database))
    audit.register(
        bus,
        action_recorder=ActionRecorder(database),
        denial_recorder=DenialRecorder(database),
        reader=AuditReader(database),
    )
    keys.register(
        bus,
        creator=KeyCreator(database, pepper, life=timedelta(days=settings.key_days), max_keys=settings.keys_per_user),
        lister=KeyLister(database),
        revoker=KeyRevoker(database, announcer),
    )
    signer = create_signer(settings, database)
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

    if (archiver := create_archiver(settings, database)) is not None:
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
    accounts.register(
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


def create_signer(settings: Settings, database: Database) -> AccessTokenSigner:
    return AccessTokenSigner(
        database,
        SigningKeyCipher(*settings.accepted_secret_keys),
        token_life=timedelta(minutes=settings.access_token_expire_minutes),
        key_life=timedelta(days=settings.signing_key_days),
    )


def create_archiver(settings: Settings, database: Database) -> AuditArchiver | None:
    """Return the archiver of the audit log; None if ``audit_days`` or ``audit_archive`` is not set."""
    if settings.audit_days is None or settings.audit_archive is None:
        return None
    return AuditArchiver(database, settings.audit_archive, age=timedelta(days=settings.audit_days))


def _count_spare_cores() -> int:
    """Return the number of cores that this process may use minus one, but at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1) if sys.platform == "linux" else max(1, (os.cpu_count() or 1) - 1)
