"""Admin operations on the whole fleet."""

from collections.abc import Iterator
from datetime import datetime

from comfyfleet_client import fleet_calls as calls
from comfyfleet_client.caller import Caller
from comfyfleet_client.fleet_results import AuditEntry, DeadLetter, FleetJob, Node, Stats, UsageDay
from comfyfleet_client.pages import PAGE_SIZE, iterate_pages
from comfyfleet_client.results import Job
from comfyfleet_client.setup import get_job_id
from comfyfleet_client.sync_runner import SyncRunner


class Fleet:
    """Nodes, all jobs, statistics, usage and the audit log, for admins."""

    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner

    def stats(self) -> Stats:
        """Return fleet statistics, at most a few seconds old."""
        return self._runner.run(self._caller.execute(calls.read_stats()))

    def usage(self, user_id: str | None = None, *, days: int | None = None) -> tuple[UsageDay, ...]:
        """Return the usage of one user, or of everybody, in the last UTC days, newest first."""
        return self._runner.run(self._caller.execute(calls.read_user_usage(user_id, days)))

    def nodes(self) -> tuple[Node, ...]:
        """Return every node, by name."""
        return self._runner.run(self._caller.execute(calls.list_nodes()))

    def cordon(self, node: str) -> Node:
        """Assign no new jobs to a node; its current job continues."""
        return self._runner.run(self._caller.execute(calls.run_node_action(node, "cordon")))

    def uncordon(self, node: str) -> Node:
        """Assign jobs to a node again."""
        return self._runner.run(self._caller.execute(calls.run_node_action(node, "uncordon")))

    def drain(self, node: str, *, grace_seconds: float | None = None) -> Node:
        """Assign no new jobs to a node, and move its current job elsewhere after the grace period."""
        call = calls.run_node_action(node, "drain", grace_seconds=grace_seconds)
        return self._runner.run(self._caller.execute(call))

    def clear_foreign_prompts(self, node: str) -> Node:
        """Remove foreign prompts from a node. It takes effect within seconds after the response."""
        return self._runner.run(self._caller.execute(calls.run_node_action(node, "clear")))

    def refresh(self, node: str) -> Node:
        """Refresh the catalog of a node. It takes effect within seconds after the response."""
        return self._runner.run(self._caller.execute(calls.run_node_action(node, "refresh")))

    def refresh_all(self) -> tuple[Node, ...]:
        """Refresh the catalogs of all nodes."""
        return self._runner.run(self._caller.execute(calls.refresh_nodes()))

    def forget(self, node: str) -> None:
        """Remove a node that was shut down. Raises Conflict while it is alive."""
        self._runner.run(self._caller.execute(calls.forget_node(node)))

    def jobs(
        self,
        *,
        tenant: str | None = None,
        status: str | None = None,
        node: str | None = None,
        workflow: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[FleetJob]:
        """Yield all users' jobs, newest first, fetching pages as needed; ``tenant`` is a user id."""
        return self._runner.iterate(
            iterate_pages(
                self._caller,
                lambda cursor: calls.list_fleet_jobs(
                    tenant=tenant, status=status, node=node, workflow=workflow, created_after=created_after,
                    created_before=created_before, limit=page_size, cursor=cursor,
                ),
            )
        )  # fmt: skip

    def job(self, job: Job | str) -> FleetJob:
        """Return any job, with its attempts."""
        return self._runner.run(self._caller.execute(calls.read_fleet_job(get_job_id(job))))

    def cancel(self, job: Job | str) -> FleetJob:
        """Cancel any job, as its owner would."""
        return self._runner.run(self._caller.execute(calls.run_job_action(get_job_id(job), "cancel")))

    def hold(self, job: Job | str) -> FleetJob:
        """Keep a pending job from starting."""
        return self._runner.run(self._caller.execute(calls.run_job_action(get_job_id(job), "hold")))

    def release(self, job: Job | str) -> FleetJob:
        """Let a held job start."""
        return self._runner.run(self._caller.execute(calls.run_job_action(get_job_id(job), "release")))

    def requeue(self, job: Job | str) -> FleetJob:
        """Return a running job to the queue, or run a failed one again as a new job; returns that job."""
        call = calls.run_job_action(get_job_id(job), "requeue", repeatable=False)
        return self._runner.run(self._caller.execute(call))

    def prioritise(self, job: Job | str, priority: int) -> FleetJob:
        """Change the job's priority among its owner's jobs, -100 to 100."""
        return self._runner.run(self._caller.execute(calls.prioritise_job(get_job_id(job), priority)))

    def audit(
        self,
        *,
        actor: str | None = None,
        subject: str | None = None,
        action: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[AuditEntry]:
        """Yield audit log entries, newest first; ``actor`` and ``subject`` are user ids."""
        return self._runner.iterate(
            iterate_pages(
                self._caller,
                lambda cursor: calls.list_audit(
                    actor=actor,
                    subject=subject,
                    action=action,
                    after=after,
                    before=before,
                    limit=page_size,
                    cursor=cursor,
                ),
            )
        )

    def dead_letters(
        self, *, service: str | None = None, node: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[DeadLetter]:
        """Yield messages that could not be processed, newest first."""
        return self._runner.iterate(
            iterate_pages(
                self._caller,
                lambda cursor: calls.list_dead_letters(service=service, node=node, limit=page_size, cursor=cursor),
            )
        )

    def redrive(self, letter: DeadLetter | str) -> None:
        """Process a message again. Raises Conflict if that is not possible, or if it fails again."""
        self._runner.run(
            self._caller.execute(calls.redrive_dead_letter(letter.id if isinstance(letter, DeadLetter) else letter))
        )
