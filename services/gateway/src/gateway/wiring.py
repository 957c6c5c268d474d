"""The dependencies that each feature gets, and the routes and loops that it contributes."""

from dataclasses import dataclass

from fastapi import APIRouter

from chassis.database.postgres import Database
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.telemetry.metrics import Metrics
from gateway.settings import Settings
from gateway.signing.keys import derive
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

    def key(self, purpose: str) -> bytes:
        """A 32-byte signing key for one purpose, derived from the secret key."""
        return derive(self.settings.secret_key.get_secret_value(), purpose)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What a feature adds to the application. Subclasses also hold the parts that other features use."""

    routers: tuple[APIRouter, ...] = ()
    loops: tuple[Loop, ...] = ()
