"""Transfers an attempt's uploads to the node."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GRANT_INPUTS, GrantInputs, InputGrant
from contracts.scheduler.attempts import AttemptRef
from contracts.wire.errors import STATUS, Kind, Refusal
from executor.clients.artifacts import Artifacts, Damaged, GetRefused, StoreAway
from executor.clients.comfyui import STAGED_TYPE, ComfyUI, NoFile, NoRoom
from executor.clients.comfyui_answers import NodeAway
from executor.domain.catalog import STAGING_FOLDER
from executor.domain.verdict import NODE_AWAY, AttemptResult, failed, node_fault
from executor.usecases.retries import TRANSFERS, is_temporary

TRIES = 4  # failures that may be temporary: wrong bytes from storage, refusal by the node
BASE_S = 60.0  # seconds of one transfer, plus its size at the minimum rate
SLOWEST_BYTES_S = 64 << 10
AWAY = 500  # statuses from here on are server errors

GONE = failed("input.gone", "An upload that this job uses is no longer there. Upload it again.")
UNREADABLE = node_fault("input.unreadable", "An upload that this job uses cannot be read from the store.")
NOT_TAKEN = node_fault("node.fault", "The node does not take an upload that this job uses.")
TOO_LARGE = failed(
    "input.too_large",
    "An upload that this job uses is larger than the node takes. Send a smaller file, or ask the operator to start "
    "ComfyUI with a larger --max-upload-size.",
)
FORGOTTEN = node_fault("node.fault", "The node lost an upload that this job uses.")

TEMPORARY = (StoreAway, NodeAway, GetRefused, Damaged)  # each within the bounds of ``_FailureBudget``


class CannotStage(Exception):
    """The node cannot get its files, so the attempt ends."""

    def __init__(self, verdict: AttemptResult) -> None:
        super().__init__(verdict.error.message if verdict.error else verdict.outcome)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file on the node."""

    name: str
    size_bytes: int

    @property
    def value(self) -> str:
        """Its name in a graph, with its folder, as every stock class with a file input accepts it."""
        return f"{STAGING_FOLDER}/{self.name} [{STAGED_TYPE}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInputs:
    """Transfers uploads from storage to the node. Files that the node already has are not sent again.

    Attributes:
        unreachable_s: how long the node may be unreachable meanwhile.
    """

    bus: Bus
    node: ComfyUI
    artifacts: Artifacts
    node_name: str
    unreachable_s: float

    async def __call__(self, ref: AttemptRef, inputs: tuple[UUID, ...]) -> dict[str, StagedFile]:
        """Return the staged files by upload id. Waits for an unavailable gateway or storage as long as the lease lasts.

        Raises:
            CannotStage: a file is gone, or the node refuses it.
        """
        staged: dict[str, StagedFile] = {}
        budget = _FailureBudget(self.unreachable_s)

        async def stage_once() -> dict[str, StagedFile]:
            try:
                for grant in await self._granted(ref, inputs):
                    if str(grant.id) not in staged:
                        staged[str(grant.id)] = await self._staged(grant)
            except TEMPORARY as error:
                budget.spend(error)
                raise
            return staged

        return await TRANSFERS.on(TEMPORARY)(stage_once)

    async def still_there(self, staged: Mapping[str, StagedFile]) -> bool:
        """Whether the node still has every file."""
        try:
            return all(
                [await self.node.has_input(STAGING_FOLDER, file.name, file.size_bytes) for file in staged.values()]
            )
        except NodeAway:
            return False

    async def _granted(self, ref: AttemptRef, inputs: tuple[UUID, ...]) -> tuple[InputGrant, ...]:
        try:
            asked = GrantInputs(job_id=ref.job_id)
            reply = await self.bus.request(GRANT_INPUTS, asked, tenant=str(ref.tenant_id), key=self.node_name)
        except Refusal as refusal:
            if refusal.refused.kind is Kind.NOT_FOUND:
                raise CannotStage(GONE) from refusal
            if not is_temporary(refusal):
                raise GetRefused(STATUS[refusal.refused.kind]) from refusal
            raise StoreAway(refusal.refused.code) from refusal
        granted = {grant.id: grant for grant in reply.grants}
        if not granted.keys() >= {*inputs}:
            raise CannotStage(GONE)
        return tuple(granted[upload] for upload in inputs)

    async def _staged(self, grant: InputGrant) -> StagedFile:
        file = StagedFile(grant.name, grant.size_bytes)
        if not await self.node.has_input(STAGING_FOLDER, file.name, file.size_bytes):
            within_s = BASE_S + grant.size_bytes / SLOWEST_BYTES_S
            async with self._fetched(grant, within_s) as content:
                try:
                    await self.node.put_input(STAGING_FOLDER, file.name, content, file.size_bytes)
                except NoRoom as error:
                    raise CannotStage(TOO_LARGE) from error
                except NoFile as error:
                    raise CannotStage(NOT_TAKEN) from error
            log.info("executor.input.staged", upload_id=str(grant.id), bytes=grant.size_bytes)
        return file

    @asynccontextmanager
    async def _fetched(self, grant: InputGrant, within_s: float) -> AsyncIterator[IO[bytes]]:
        getting = self.artifacts.get(grant.url, size=grant.size_bytes, sha256=grant.sha256, within_s=within_s)
        try:
            async with getting as content:
                yield content
        except GetRefused as error:
            if error.status >= AWAY:
                raise StoreAway(str(error)) from error
            raise


class _FailureBudget:
    """Bounds how often and how long staging may fail, per cause."""

    def __init__(self, unreachable_s: float) -> None:
        self._unreachable_s, self._tries, self._away_since = unreachable_s, 0, time.monotonic()

    def spend(self, error: StoreAway | NodeAway | GetRefused | Damaged) -> None:
        """Count a failure.

        Raises:
            CannotStage: the limit is exceeded.
        """
        if isinstance(error, NodeAway) and not error.heard:
            if time.monotonic() - self._away_since > self._unreachable_s:
                raise CannotStage(NODE_AWAY) from error
            return
        self._away_since = time.monotonic()
        if isinstance(error, StoreAway):
            return
        self._tries += 1
        if self._tries >= TRIES:
            raise CannotStage(NOT_TAKEN if isinstance(error, NodeAway) else UNREADABLE) from error
