"""Groups of submits are decided, and what is accepted is written (decision record 0024)."""

from collections.abc import Collection, Sequence
from uuid import UUID

from cachetools import LRUCache

from chassis.postgres import Database
from chassis.statement import Connection
from contracts.auth import UnknownTenant
from contracts.retention import KeyOfPurgedJob
from contracts.scheduler import Submitted
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Accepted, Account, Candidate, DayImages, Ledger, Replayed, Verdict
from scheduler.domain.job import Standing, view
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer

KNOWN = 10_000  # tenants


class JobAdmission:
    """Decides a group of submits at once where it can, else under its tenants' locks.

    The account of a tenant is remembered from one group to the next. What it accepts is written in one statement, which
    does nothing if the account is true no longer. What it would refuse is decided anew: only what was read under the
    lock refuses anybody.
    """

    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader
        # Taken out while it is used: whoever fails has forgotten.
        self._known: LRUCache[UUID, Account] = LRUCache(maxsize=KNOWN)

    async def decide(self, candidates: Sequence[Candidate], patient: bool) -> list[Answer | None]:
        """The committed decision on each, in order.

        None for those whose tenant or quota group is locked by somebody else, unless there is patience to wait.
        """
        ledgers = self._remembered({candidate.tenant_id for candidate in candidates})
        verdicts = [ledgers[candidate.tenant_id].decide(candidate) for candidate in candidates] if ledgers else []
        accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
        if accepted and len(accepted) == len(candidates):
            async with self._database.single() as connection:
                if made := await self._write(connection, accepted, ledgers):
                    return [await self._answer(connection, *one) for one in zip(accepted, made, strict=True)]
        return await self._decide_under_locks(candidates, patient)

    async def _decide_under_locks(self, candidates: Sequence[Candidate], patient: bool) -> list[Answer | None]:
        async with self._database.direct() as connection:
            whose = {one.tenant_id for one in candidates}
            whose = await tenants.lock_groups(connection, whose, patient=patient)
            locked = await tenants.lock_all(connection, whose, patient=patient)
            deciding = [candidate for candidate in candidates if candidate.tenant_id in locked]
            answers = iter(await self._answers(connection, deciding) if deciding else [])
        absent: Answer | None = UnknownTenant() if patient else None
        return [next(answers) if candidate.tenant_id in locked else absent for candidate in candidates]

    async def _answers(self, connection: Connection, candidates: Sequence[Candidate]) -> list[Answer]:
        ledgers: dict[UUID, Ledger] = {}
        pools: dict[UUID, DayImages] = {}  # by quota group
        verdicts: list[Verdict] = []
        found = await submits.facts(connection, candidates)
        for candidate, (account, earlier) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                shared = pools.setdefault(group, DayImages(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, shared)
            verdicts.append(ledgers[account.id].decide(candidate, earlier))
        standings: dict[UUID, Standing] = {}
        accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
        if accepted:
            standings |= {one.id: one for one in await self._write(connection, accepted, ledgers)}
        replayed = {verdict.job_id for verdict in verdicts if isinstance(verdict, Replayed)} - standings.keys()
        if replayed:
            standings |= await jobs.find_all(connection, replayed)
        return [await self._answer_any(connection, verdict, standings) for verdict in verdicts]

    async def _write(
        self, connection: Connection, accepted: Sequence[Accepted], ledgers: dict[UUID, Ledger]
    ) -> list[Standing]:
        """The jobs as they were written, in order; none if nothing was, which under their tenants' locks cannot be."""
        whose = {verdict.candidate.tenant_id for verdict in accepted}
        written = await submits.write(connection, accepted, {one: ledgers[one].account for one in whose})
        if not written:
            return []
        for one in whose:  # if this is not committed, no row will ever be of that version
            if ledgers[one].account.quota_group is None:  # else others change what it may use
                self._known[one] = ledgers[one].closed(written[0].version)
        return [verdict.standing(row) for verdict, row in zip(accepted, written, strict=True)]

    async def _answer_any(self, connection: Connection, verdict: Verdict, standings: dict[UUID, Standing]) -> Answer:
        if isinstance(verdict, Refusal):
            return verdict
        if isinstance(verdict, Replayed) and verdict.job_id not in standings:
            return KeyOfPurgedJob()
        return await self._answer(connection, verdict, standings[verdict.job_id])

    async def _answer(self, connection: Connection, verdict: Accepted | Replayed, standing: Standing) -> Answer:
        eta = await self._reader.eta(connection, standing.queue_position)
        return Submitted(job=view(standing, eta), replayed=isinstance(verdict, Replayed), quota=verdict.quota)

    def _remembered(self, whose: Collection[UUID]) -> dict[UUID, Ledger]:
        """Ledgers of all these tenants, read on one day; none if one is not known."""
        accounts = [account for one in whose if (account := self._known.pop(one, None))]
        if len(accounts) < len(whose) or len({account.today for account in accounts}) > 1:
            return {}
        return {account.id: Ledger(account) for account in accounts}
