"""What the scheduler answers over NATS."""

from uuid import UUID

from chassis.bus import Bus
from contracts.auth import UnknownTenant
from contracts.scheduler import (
    ASK_WORK,
    BEAT,
    CANCEL_JOB,
    FINISH_ATTEMPT,
    LIST_JOBS,
    READ_FLEET,
    READ_JOB,
    REPORT_CATALOG,
    START_ATTEMPT,
    SUBMIT_JOB,
    Asked,
    AskWork,
    AttemptWritten,
    Beat,
    Beaten,
    CancelJob,
    FinishAttempt,
    Fleet,
    JobPage,
    JobRead,
    ListJobs,
    ReadFleet,
    ReadJob,
    ReportCatalog,
    StartAttempt,
    SubmitJob,
    Submitted,
)  # fmt: skip
from contracts.wire.topic import Address
from scheduler.usecases.ask_work import WorkDesk
from scheduler.usecases.attempt_course import AttemptCourse
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.heartbeat import Heartbeats
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_job import JobSubmitter


def register_jobs(
    bus: Bus, *, submitter: JobSubmitter, reader: JobReader, canceller: JobCanceller, fleet: FleetKnowledge
) -> None:
    """Serve what clients ask. The tenant is the subject's, never the payload's."""

    async def submit(command: SubmitJob, address: Address) -> Submitted:
        return await submitter.submit(_tenant(address), command)

    async def read(query: ReadJob, address: Address) -> JobRead:
        return await reader.read(_tenant(address), query)

    async def list_jobs(query: ListJobs, address: Address) -> JobPage:
        return await reader.page(_tenant(address), query)

    async def cancel(command: CancelJob, address: Address) -> JobRead:
        return await canceller.cancel(_tenant(address), command)

    async def read_fleet(_: ReadFleet, __: Address) -> Fleet:
        return await fleet.read()

    bus.serve(SUBMIT_JOB, submit)
    bus.serve(READ_JOB, read)
    bus.serve(LIST_JOBS, list_jobs)
    bus.serve(CANCEL_JOB, cancel)
    bus.serve(READ_FLEET, read_fleet)


def register_attempts(bus: Bus, *, desk: WorkDesk, course: AttemptCourse, heartbeats: Heartbeats) -> None:
    """Serve what executors ask. The node is the subject's, which the executor's login is bound to."""

    async def ask(question: AskWork, address: Address) -> Asked:
        return await desk.ask(_node(address), question)

    async def start(command: StartAttempt, address: Address) -> AttemptWritten:
        return await course.start(_node(address), command)

    async def finish(command: FinishAttempt, address: Address) -> AttemptWritten:
        return await course.finish(_node(address), command)

    async def beat(command: Beat, address: Address) -> Beaten:
        return await heartbeats.beat(_node(address), command)

    async def report(command: ReportCatalog, address: Address) -> AttemptWritten:
        return await heartbeats.report(_node(address), command)

    bus.serve(ASK_WORK, ask)
    bus.serve(START_ATTEMPT, start)
    bus.serve(FINISH_ATTEMPT, finish)
    bus.serve(BEAT, beat)
    bus.serve(REPORT_CATALOG, report)


def _tenant(address: Address) -> UUID:
    try:
        return UUID(address.tenant)
    except ValueError:
        raise UnknownTenant from None


def _node(address: Address) -> str:
    return address.key or ""
