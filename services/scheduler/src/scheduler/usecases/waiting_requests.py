"""Requests for work that wait for a job. An event wakes one request that can take the job, not all of them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple
from uuid import UUID


class Wake(NamedTuple):
    """Why a request was woken.

    Attributes:
        requirement: of the job that was queued; None if any job may have become claimable.
        tried: nodes that were woken for it before and may not take the job.
    """

    requirement: int | None = None
    tried: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True, kw_only=True)
class WaitingRequest:
    """A request for work that has no answer yet. It claims, or it is idle until it is woken.

    Attributes:
        digest: of the node's catalog at the last claim; None if the node may not claim.
        wake: why it was woken. It owes the wake to another request unless its claim finds that nothing is left.
        is_ended: it must be answered now, without a job.
        missed: its claim may have looked too early, so it claims once more before it is idle.
        idle_since: increases with each request that becomes idle.
        changed: set when an idle request has to look at the rest of this.
    """

    node: str
    boot_id: UUID
    digest: str | None = None
    wake: Wake | None = None
    is_ended: bool = False
    missed: bool = False
    idle_since: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class WaitingRequests:
    """The waiting requests of this process, at most one per node.

    A wake is never lost: it goes to an idle request; or, if there is none, to every request that claims just now, which
    then claims once more. A request that is woken and leaves without a claim that found nothing passes the wake on.

    Args:
        can_run: whether a node with this catalog meets a requirement.
    """

    def __init__(self, can_run: Callable[[str, int], bool]) -> None:
        self._can_run = can_run
        self._by_node: dict[str, WaitingRequest] = {}
        self._claiming: set[WaitingRequest] = set()
        self._idle: dict[str | None, dict[WaitingRequest, None]] = {}  # by digest, longest idle first
        self._numbers = count()

    def open(self, node: str, boot_id: UUID) -> WaitingRequest:
        """Add a request that claims. An earlier one of the same node is ended: nobody waits for its answer."""
        if (earlier := self._by_node.get(node)) is not None:
            self._end(earlier)
        request = self._by_node[node] = WaitingRequest(node=node, boot_id=boot_id)
        self._claiming.add(request)
        return request

    def close(self, request: WaitingRequest) -> None:
        """Remove a request that is answered, and pass its wake on.

        A newer request of the same node claims once more, because this one may have got an attempt.
        """
        self._claiming.discard(request)
        newest = self._by_node.get(request.node)
        if newest is request:
            del self._by_node[request.node]
        elif newest is not None:
            self._claim_again(newest)
        self.pass_on(request)

    async def wait(self, request: WaitingRequest, within_s: float) -> bool:
        """Wait until the request should claim again. False if it was not woken in time, or is ended."""
        if within_s > 0 and not request.missed and not request.is_ended:
            self._add_idle(request)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await request.changed.wait()
            self._remove_idle(request)
        is_wanted = request.wake is not None or (request.missed and within_s > 0)
        request.missed = False
        return is_wanted and not request.is_ended

    def pass_on(self, request: WaitingRequest, *, is_served: bool = False) -> None:
        """Wake another request for what this one was woken for.

        Args:
            is_served: this one got a job, so there may be more. Otherwise it may not take the job.
        """
        wake, request.wake = request.wake, None
        if wake is None:
            return
        tried = frozenset() if is_served else wake.tried | {request.node}
        if wake.requirement is None:
            self._wake_first([request.digest], Wake(None, tried))
        else:
            self.wake_for(wake.requirement, tried)

    def wake_for(self, requirement: int, tried: frozenset[str] = frozenset()) -> None:
        """Wake one request of a node that meets the requirement, because a job with it was queued."""
        suitable = [digest for digest in self._idle if digest is not None and self._can_run(digest, requirement)]
        if self._wake_first(suitable, Wake(requirement, tried)):
            return
        for request in self._claiming:  # its claim may have looked before the job was queued
            if request.node not in tried and (request.digest is None or self._can_run(request.digest, requirement)):
                request.missed = True

    def wake_each_kind(self, is_served: Callable[[str], bool]) -> None:
        """Wake one request for each catalog that ``is_served``: a job may have become claimable for its nodes."""
        for digest in list(self._idle):
            if digest is not None and is_served(digest):
                self._wake_first([digest], Wake())

    def end_all(self) -> None:
        """Have every request answered now."""
        for request in list(self._by_node.values()):
            self._end(request)

    def end_executor(self, boot_id: UUID) -> None:
        """Have the requests of this executor answered now."""
        for request in [one for one in self._by_node.values() if one.boot_id == boot_id]:
            self._end(request)

    def list_idle_nodes(self) -> list[str]:
        return [request.node for request in self._list_idle()]

    def set_digests(self, digests: dict[str, str | None]) -> None:
        """Update the catalogs of idle nodes."""
        for request in list(self._list_idle()):
            if (digest := digests.get(request.node)) != request.digest:
                self._remove_idle(request)
                request.digest = digest
                self._add_idle(request)

    def _list_idle(self) -> Iterator[WaitingRequest]:
        return (request for group in self._idle.values() for request in group)

    def _wake_first(self, digests: list[str | None], wake: Wake) -> bool:
        """Wake the request with one of these catalogs that has been idle for longest. False if there is none."""
        first = [
            next((request for request in self._idle.get(digest, ()) if request.node not in wake.tried), None)
            for digest in digests
        ]
        found = min(filter(None, first), key=lambda request: request.idle_since, default=None)
        if found is None:
            return False
        found.wake = wake
        self._claim_again(found)
        return True

    def _claim_again(self, request: WaitingRequest) -> None:
        request.missed = True
        self._remove_idle(request)
        request.changed.set()

    def _end(self, request: WaitingRequest) -> None:
        request.is_ended = True
        self._remove_idle(request)
        request.changed.set()

    def _add_idle(self, request: WaitingRequest) -> None:
        self._claiming.discard(request)
        request.changed.clear()
        request.idle_since = next(self._numbers)
        self._idle.setdefault(request.digest, {})[request] = None

    def _remove_idle(self, request: WaitingRequest) -> None:
        group = self._idle.get(request.digest, {})
        if request in group:
            del group[request]
            if not group:
                del self._idle[request.digest]
        self._claiming.add(request)
