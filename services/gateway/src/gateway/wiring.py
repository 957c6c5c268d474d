"""The dependencies that each feature gets, and the routes and loops that it contributes."""

from dataclasses import dataclass

from fastapi import APIRouter

from chassis.database.postgres import Database
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from gateway.settings import Settings
from gateway.signing.keys import SigningKeys, derive_key
from gateway.storage.artifacts import ArtifactRecords
from gateway.storage.objects import ArtifactStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Infrastructure:
    """Settings, metrics, connections and stores that features share. Nothing connects before the application starts."""

    settings: Settings
    metrics: Metrics
    bus: Bus
    database: Database
    objects: ArtifactStore
    artifacts: ArtifactRecords
    shutdown: Shutdown

    def derive_keys(self, purpose: str) -> SigningKeys:
        """Return the 32-byte signing keys for one purpose, derived from the accepted secret keys."""
        return tuple(derive_key(secret, purpose) for secret in self.settings.accepted_secret_keys)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """The routes and loops of a feature. Subclasses also have the parts that other features use."""

    routers: tuple[APIRouter, ...] = ()
    loops: tuple[Loop, ...] = ()
