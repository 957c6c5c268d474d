"""Keeps requests for work that wait for a job. A new job wakes one request that can take it, not all of them."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from operator import itemgetter
from typing import NamedTuple, TypeAlias
from uuid import UUID

from scheduler.domain.placement import Warmth

MAX_WOKEN = 4  # requests that are woken at the same time for jobs with one requirement
MAX_RATED = 50  # requirements that a recheck compares with the models of idle nodes

RequestKind: TypeAlias = tuple[str | None, frozenset[str]]
"""Requests that can take the same jobs equally well: digest of the node's catalog, and models that it has loaded."""


class WakeCause(NamedTuple):
    """Why a request was woken.

    Attributes:
        requirement: requirement of the job that was queued; None if any job may have become claimable.
        digest: catalog digest of the woken request's node.
        tried_nodes: nodes already woken for this cause that cannot take the job.
    """

    requirement: int | None
    digest: str
    tried_nodes: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True, kw_only=True)
class WaitingRequest:
    """A request for work that has no answer yet. It claims, or it is idle until it is woken.

    Attributes:
        loaded: models that the node has loaded.
        digest: digest of the node's catalog at the last claim; None if the node may not claim.
        wake: why it was woken; None if it was not. It passes the wake on to another request unless its claim gets a job
            or finds that nothing is left.
        may_wait: whether it becomes idle if it finds nothing.
        is_ended: whether it must be answered now, without a job.
        must_claim_again: a job may have been queued after its claim searched, so it claims once more before it is idle.
        idle_since: increases with each request that becomes idle.
        wakeup: set when an idle request must claim again or is ended.
    """

    node: str
    boot_id: UUID
    loaded: frozenset[str] = frozenset()
    digest: str | None = None
    wake: WakeCause | None = None
    may_wait: bool = True
    is_ended: bool = False
    must_claim_again: bool = False
    idle_since: int = 0
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)


class WaitingRequests:
    """The executors' requests for work that this process has not answered.

    A wake is never lost. It goes to an idle request. If there is none, every request that is claiming at the moment
    claims once more. A woken request passes the wake on unless it got a job or found nothing. If it got a job, more may
    be queued: requests that are claiming claim again, and the caller must recheck the queue on behalf of idle requests.

    Args:
        can_run: whether a node with this catalog meets a requirement.
        rate_warmth: rates how warm jobs with this requirement are on a node that has loaded these models.
        compute_unload_cost: computes how costly it would be for the fleet if a node unloaded these models.
    """

    def __init__(
        self,
        can_run: Callable[[str, int], bool],
        rate_warmth: Callable[[int, frozenset[str]], Warmth],
        compute_unload_cost: Callable[[frozenset[str]], float],
    ) -> None:
        self._can_run, self._rate_warmth, self._compute_unload_cost = can_run, rate_warmth, compute_unload_cost
        self._by_node: dict[str, list[WaitingRequest]] = {}
        self._claiming: set[WaitingRequest] = set()
        self._idle: dict[RequestKind, dict[WaitingRequest, None]] = {}  # by kind, longest idle first
        self._idle_numbers = count()

    def open_request(
        self, node: str, boot_id: UUID, loaded: frozenset[str] = frozenset(), *, may_wait: bool = True
    ) -> WaitingRequest:
        """Add a request, which claims first."""
        request = WaitingRequest(node=node, boot_id=boot_id, loaded=loaded, may_wait=may_wait)
        self._by_node.setdefault(node, []).append(request)
        self._claiming.add(request)
        return request

    def close_request(self, request: WaitingRequest) -> None:
        """Remove an answered request and pass its wake, if it has one, on to another request.

        Other requests of the same node claim once more: this one may have got an attempt whose reply is lost.
        """
        self._claiming.discard(request)
        others = self._by_node[request.node]
        others.remove(request)
        if not others:
            del self._by_node[request.node]
        for other in others:
            self._request_new_claim(other)
        self.pass_on_wake(request)

    async def wait_for_wake(self, request: WaitingRequest, within_s: float) -> bool:
        """Wait until the request should claim again. Returns False if it was not woken in time, or is ended."""
        if within_s > 0 and not request.must_claim_again and not request.is_ended:
            self._add_idle_request(request)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await request.wakeup.wait()
            self._remove_idle_request(request)
        is_wanted = request.wake is not None or (request.must_claim_again and within_s > 0)
        request.must_claim_again = False
        return is_wanted and not request.is_ended

    def end_wake_after_job(self, request: WaitingRequest) -> bool:
        """End the wake of a request that got a job. Returns whether the request was woken.

        More jobs may have been queued while it counted as woken for them. So the other requests that are claiming claim
        once more: they may have skipped these jobs, or searched before these were queued.
        """
        wake, request.wake = request.wake, None
        if wake is None:
            return False
        for other in self._claiming - {request}:
            if wake.requirement is None or other.digest is None or self._can_run(other.digest, wake.requirement):
                other.must_claim_again = True
        return True

    def end_wake_without_job(self, request: WaitingRequest) -> None:
        """End the wake of a request that found no job, unless it claims once more for a job that was queued since."""
        if not request.must_claim_again:
            request.wake = None

    def pass_on_wake(self, request: WaitingRequest) -> None:
        """Wake a request of another node for the same cause, because this one did not take the job.

        Does nothing if this request was not woken.
        """
        wake, request.wake = request.wake, None
        if wake is None:
            return
        tried_nodes = wake.tried_nodes | {request.node}
        if wake.requirement is None:
            self._wake_warmest_request([wake.digest], (), None, tried_nodes)
        else:
            self._wake_suitable_request(wake.requirement, tried_nodes)

    def wake_for_jobs(self, requirement: int, jobs: int = 1) -> None:
        """Wake requests of nodes that meet the requirement, because jobs with it were queued.

        A request that was woken for such a job and is still claiming counts as one of them, since events may come
        twice; it claims once more if it finds nothing.

        Args:
            jobs: number of jobs. At most ``MAX_WOKEN`` requests claim at a time; more are woken when these got a job.
        """
        woken = [request for request in self._claiming if request.wake and request.wake.requirement == requirement]
        for request in woken:
            request.must_claim_again = True
        for _ in range(min(jobs, MAX_WOKEN) - len(woken)):
            if not self._wake_suitable_request(requirement):
                break

    def skip_claimed_requirements(self, request: WaitingRequest, requirements: list[int]) -> list[int]:
        """Return the requirements without those for which another request was woken that is still claiming.

        A request that arrives while another one claims a new job would only wait for the same lock and get nothing.
        It becomes idle instead, and is woken if there are more jobs. A woken request skips nothing, nor does one that
        never becomes idle.
        """
        if request.wake is not None or not request.may_wait:
            return requirements
        claimed = {other.wake.requirement for other in self._claiming if other.wake is not None}
        return [requirement for requirement in requirements if requirement not in claimed]

    def wake_each_catalog(self, requirements: Collection[int]) -> None:
        """Wake one request of each catalog that meets one of these requirements: its nodes may have a job now."""
        for digest in dict.fromkeys(digest for digest, _ in self._idle if digest is not None):
            runnable = list(
                islice((requirement for requirement in requirements if self._can_run(digest, requirement)), MAX_RATED)
            )
            if runnable:
                self._wake_warmest_request([digest], runnable, None)

    def rate_idle_nodes(self, requirement: int) -> Warmth | None:
        """Rate how warm jobs with this requirement are on the best idle node; None if no idle node meets it."""
        return min(
            (
                self._rate_warmth(requirement, loaded)
                for digest, loaded in self._idle
                if digest is not None and self._can_run(digest, requirement)
            ),
            default=None,
        )

    def repeat_claims(self) -> None:
        """Have all requests that are claiming claim once more, because the queue or the nodes have changed."""
        for request in self._claiming:
            request.must_claim_again = True

    def find_waiting_node(self, requirement: int, *, excluded: Set[str], only_warm: bool = False) -> str | None:
        """Find a node that meets the requirement and whose request is idle, or claims because it was woken.

        Args:
            only_warm: it must have loaded all models of jobs with this requirement.
        """
        woken = [request for request in self._claiming if request.wake]
        for request in (*self._list_idle_requests(), *woken):
            is_candidate = request.node not in excluded and request.digest is not None and not request.is_ended
            is_warm = not only_warm or self._rate_warmth(requirement, request.loaded) is Warmth.WARM
            if is_candidate and is_warm and self._can_run(request.digest or "", requirement):
                return request.node
        return None

    def end_all_requests(self) -> None:
        """Have every request answered now."""
        for request in self._list_requests():
            self._end_request(request)

    def end_requests_of_executor(self, boot_id: UUID) -> None:
        """Have the requests of this executor answered now."""
        for request in [request for request in self._list_requests() if request.boot_id == boot_id]:
            self._end_request(request)

    @property
    def has_idle_requests(self) -> bool:
        return bool(self._idle)

    def list_idle_nodes(self) -> list[str]:
        return [request.node for request in self._list_idle_requests()]

    def set_digests(self, digests: dict[str, str | None]) -> None:
        """Update the catalogs of idle nodes."""
        for request in list(self._list_idle_requests()):
            if (digest := digests.get(request.node)) != request.digest:
                self._remove_idle_request(request)
                request.digest = digest
                self._add_idle_request(request)

    def _list_requests(self) -> list[WaitingRequest]:
        return [request for requests in self._by_node.values() for request in requests]

    def _list_idle_requests(self) -> Iterator[WaitingRequest]:
        return (request for group in self._idle.values() for request in group)

    def _wake_suitable_request(self, requirement: int, tried_nodes: frozenset[str] = frozenset()) -> bool:
        """Wake an idle request for a job. If there is none, those that are claiming claim once more; returns False."""
        digests = {digest for digest, _ in self._idle if digest is not None}
        suitable = [digest for digest in digests if self._can_run(digest, requirement)]
        if self._wake_warmest_request(suitable, [requirement], requirement, tried_nodes):
            return True
        for request in self._claiming:  # its claim may have searched before the job was queued
            if request.node not in tried_nodes and (
                request.digest is None or self._can_run(request.digest, requirement)
            ):
                request.must_claim_again = True
        return False

    def _wake_warmest_request(
        self,
        digests: Collection[str],
        wanted: Collection[int],
        requirement: int | None,
        tried_nodes: frozenset[str] = frozenset(),
    ) -> bool:
        """Wake the idle request with one of these catalogs whose node is warmest for a ``wanted`` requirement.

        Among equals, the node whose models are least costly to unload is first, such as a node without models, then the
        request that has been idle for longest. Returns False if there is none.
        """
        first = [
            (
                (self._rate_best_warmth(wanted, loaded), self._compute_unload_cost(loaded), request.idle_since),
                request,
                digest,
            )
            for (digest, loaded), group in self._idle.items()
            if digest is not None and digest in digests
            for request in islice((request for request in group if request.node not in tried_nodes), 1)
        ]
        if not first:
            return False
        _, found, digest = min(first, key=itemgetter(0))
        found.wake = WakeCause(requirement, digest, tried_nodes)
        self._request_new_claim(found)
        return True

    def _rate_best_warmth(self, requirements: Iterable[int], loaded: frozenset[str]) -> Warmth:
        return min((self._rate_warmth(requirement, loaded) for requirement in requirements), default=Warmth.COLD)

    def _request_new_claim(self, request: WaitingRequest) -> None:
        request.must_claim_again = True
        self._remove_idle_request(request)
        request.wakeup.set()

    def _end_request(self, request: WaitingRequest) -> None:
        request.is_ended = True
        self._remove_idle_request(request)
        request.wakeup.set()

    def _add_idle_request(self, request: WaitingRequest) -> None:
        self._claiming.discard(request)
        request.wakeup.clear()
        request.idle_since = next(self._idle_numbers)
        self._idle.setdefault((request.digest, request.loaded), {})[request] = None

    def _remove_idle_request(self, request: WaitingRequest) -> None:
        kind = (request.digest, request.loaded)
        group = self._idle.get(kind, {})
        if request in group:
            del group[request]
            if not group:
                del self._idle[kind]
        self._claiming.add(request)
