"""Streams a prompt's outputs to storage."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from contracts.gateway.transfers import OutputGrant, StoredOutput
from contracts.scheduler.outputs import Output
from contracts.wire.errors import Refusal
from executor.clients.artifacts import Artifacts, PutRefused, StoreAway, TooLarge
from executor.clients.comfyui import ComfyUI, NameRefused, NoFile
from executor.clients.comfyui_answers import NodeAway
from executor.domain.harvest import Found
from executor.domain.inline_values import inline_value
from executor.domain.verdict import LOST, AttemptResult, failed, node_fault
from executor.usecases.grants import Grants
from executor.usecases.retries import TRANSFERS

FILE_TRIES = 4  # attempts; a new file may become visible late on a network disk
BASE_S = 120.0  # seconds of one transfer, plus its size at the minimum rate
SLOWEST_BYTES_S = 64 << 10
STALE = frozenset({401, 403, 404, 409, 410})  # expired or revoked grant

NO_FILE = node_fault("node.fault", "The node does not give out a file that it made.")
TOO_LARGE = failed("workflow.output_too_large", "An output is larger than what can be stored.")
NO_NAME = failed(
    "workflow.output_name_invalid",
    "The node does not give out a file that the workflow saved, because of its name: it is not UTF-8, has two dots in "
    "a row, or leaves the node's folders. Have the workflow save under another name.",
)
NO_GRANT = node_fault("node.fault", "The outputs of the job may not be stored.")


class CannotStore(Exception):
    """The outputs cannot be stored, so the attempt ends."""

    def __init__(self, verdict: AttemptResult) -> None:
        super().__init__(verdict.error.message if verdict.error else verdict.outcome)
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutput:
    """Streams an output from the node to storage.

    Attributes:
        unreachable_s: how long the node may be unreachable meanwhile.
    """

    node: ComfyUI
    artifacts: Artifacts
    output_max_bytes: int
    unreachable_s: float

    async def __call__(self, place: int, item: Found, grants: Grants) -> Output:
        """Store one output. Waits for unavailable storage.

        Args:
            place: position of its grant.

        Raises:
            CannotStore: the node no longer has it, or it is too large.
        """
        if not item.addressable:
            raise CannotStore(NO_NAME)
        tries, away_since = 0, time.monotonic()

        async def store_once() -> Output:
            nonlocal tries, away_since
            grant = await _granted(grants, place)
            try:
                return _output(item, await self._put(item, grant), grant)
            except TooLarge:
                raise CannotStore(TOO_LARGE) from None
            except NoFile as error:
                tries += 1
                if tries >= FILE_TRIES:
                    raise CannotStore(NO_FILE) from error
                raise
            except NodeAway as error:
                tries += error.heard
                self._bound(error, tries, away_since)
                raise
            except (PutRefused, StoreAway) as error:
                # A storage fault is not the job's: retry for as long as the lease is held.
                tries, away_since = 0, time.monotonic()
                await self._refused(error, grant, grants)
                raise

        return await TRANSFERS.on((NoFile, NodeAway, PutRefused, StoreAway))(store_once)

    def _bound(self, error: NodeAway, tries: int, away_since: float) -> None:
        if not error.heard and time.monotonic() - away_since > self.unreachable_s:
            raise CannotStore(LOST) from error
        if tries >= FILE_TRIES:
            raise CannotStore(NO_FILE) from error

    async def _refused(self, error: PutRefused | StoreAway, grant: OutputGrant, grants: Grants) -> None:
        if isinstance(error, PutRefused):
            if error.status == 413:
                raise CannotStore(TOO_LARGE) from error
            if error.status in STALE:
                await grants.renew(grant)

    async def _put(self, item: Found, grant: OutputGrant) -> StoredOutput:
        if item.content is not None:
            return await self._send(grant, item, _once(item.content), len(item.content))
        try:
            async with self.node.view(item) as file:
                return await self._send(grant, item, file.chunks, file.size)
        except NameRefused as error:
            raise CannotStore(NO_NAME) from error

    async def _send(
        self, grant: OutputGrant, item: Found, chunks: AsyncIterator[bytes], size: int | None
    ) -> StoredOutput:
        expected = self.output_max_bytes if size is None else min(size, self.output_max_bytes)
        return await self.artifacts.put(
            grant.url,
            chunks,
            size=size,
            content_type=item.content_type,
            cap=self.output_max_bytes,
            within_s=BASE_S + expected / SLOWEST_BYTES_S,
        )


async def _granted(grants: Grants, place: int) -> OutputGrant:
    try:
        return await grants.of(place)
    except Refusal as refusal:
        raise CannotStore(NO_GRANT) from refusal


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _output(item: Found, stored: StoredOutput, grant: OutputGrant) -> Output:
    return Output(
        id=grant.id,
        node_id=item.node_id,
        name=item.name,
        kind=item.kind,
        content_type=item.content_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        temporary=item.temporary,
        source=item.source,
        key=item.key or None,
        position=item.position,
        value=inline_value(item),
    )
