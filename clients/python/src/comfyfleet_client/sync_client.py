"""The client for programs that wait."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import httpx

from comfyfleet_client import calls, download, fleet_calls, watch
from comfyfleet_client.caller import Caller
from comfyfleet_client.credentials import Session
from comfyfleet_client.events import JobEvent
from comfyfleet_client.fleet_results import UsageDay
from comfyfleet_client.pages import PAGE, every
from comfyfleet_client.results import Job, Key, Me, NewKey, Output, User
from comfyfleet_client.retry import Retry
from comfyfleet_client.setup import USER_AGENT, caller_of, id_of, new_idempotency_key, submission
from comfyfleet_client.sync_admin import Admin
from comfyfleet_client.sync_fleet import Fleet
from comfyfleet_client.sync_runner import SyncRunner
from comfyfleet_client.sync_uploads import Uploads
from comfyfleet_client.sync_workflows import Workflows


class Client:
    """Talks to one comfyfleet. Threads may share it; close it, or use it as a context manager.

    Without a credential it takes ``COMFYFLEET_KEY``. A session is refreshed by itself; with username and password it is
    opened by itself, too. Everything raises ``ComfyfleetError``.

    Args:
        base_url: of the service, ``COMFYFLEET_URL`` by default.
        key: an API key.
        token: an access token that somebody else refreshes.
        session: an earlier login.
        username: to log in with when that is needed.
        password: of that user.
        on_session: told every session that is opened or refreshed, so that it can be kept.
        timeout: seconds for each connection, and between two pieces of an answer.
        retry: how patient it is.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        token: str | None = None,
        session: Session | None = None,
        username: str | None = None,
        password: str | None = None,
        on_session: Callable[[Session], None] | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
    ) -> None:
        self._caller = caller_of(
            base_url, key=key, token=token, session=session, username=username, password=password,
            on_session=on_session, retry=retry,
        )  # fmt: skip
        self._runner = SyncRunner(httpx.Client(timeout=timeout, headers={"User-Agent": USER_AGENT}))
        self.jobs = Jobs(self._caller, self._runner)
        self.keys = Keys(self._caller, self._runner)
        self.admin = Admin(self._caller, self._runner)
        self.fleet = Fleet(self._caller, self._runner)
        self.uploads = Uploads(self._caller, self._runner)
        self.workflows = Workflows(self._caller, self._runner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._runner.close()

    def register(self, username: str, email: str, password: str, *, invite: str | None = None) -> User:
        """Make an account. ``invite``: the token of an invite, where the service needs one."""
        return self._runner.run(self._caller.ask(calls.register(username, email, password, invite)))

    def login(self, username: str, password: str) -> Session:
        """Open a session and go on with it."""
        return self._runner.run(self._caller.login(username, password))

    def logout(self, *, everywhere: bool = False) -> None:
        """End the session, or every session of the user."""
        self._runner.run(self._caller.logout(everywhere=everywhere))

    def change_password(self, current: str, new: str) -> None:
        """Set another password; every other session ends."""
        self._runner.run(self._caller.ask(calls.change_password(current, new)))

    def export(self, to: str | os.PathLike[str], *, files: bool = True) -> None:
        """Write all that is kept of the account, with its ``files`` or without, to a ZIP file. Needs a session."""
        self._runner.run(download.export_to_file(self._caller, Path(to), files=files))

    def erase(self, password: str) -> None:
        """Erase the account of the session, everywhere and for good: credentials at once, all else within seconds."""
        self._runner.run(self._caller.ask(calls.erase_me(password)))

    def me(self) -> Me:
        """Who asks, what they may use, what they use."""
        return self._runner.run(self._caller.ask(calls.read_me()))

    def usage(self, *, days: int | None = None) -> tuple[UsageDay, ...]:
        """What the user has used in the last UTC days, 90 by default, newest first."""
        return self._runner.run(self._caller.ask(fleet_calls.read_usage(days)))

    def models(self) -> Mapping[str, list[str]]:
        """Model files that the fleet has now, by the loader input that takes them."""
        return self._runner.run(self._caller.ask(calls.list_models()))


class _Part:
    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner


class Jobs(_Part):
    """Jobs of the user."""

    def submit(
        self,
        /,
        prompt: str | None = None,
        *,
        workflow: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Job:
        """Have a job run. However often the request must be sent, there is one job.

        Args:
            prompt: for a picture; ``parameters`` are then width, height, steps, seed and so on.
            workflow: a graph in ComfyUI's API format, in place of a prompt.
            idempotency_key: names this submission for 24 hours; a fresh one by default.
            parameters: all other fields of a submission: workflow_name, randomize_seeds, priority, labels, …
        """
        body = submission(prompt, workflow, parameters)
        return self._runner.run(
            self._caller.ask(calls.submit_job(body, idempotency_key=idempotency_key or new_idempotency_key()))
        )

    def get(self, job: Job | str) -> Job:
        """How it stands now."""
        return self._runner.run(self._caller.ask(calls.read_job(id_of(job))))

    def list(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        label: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page: int = PAGE,
    ) -> Iterator[Job]:
        """Own jobs, newest first; all of them, asked for page by page as they are taken. ``label`` is key:value."""
        return self._runner.iterate(
            every(
                self._caller,
                lambda cursor: calls.list_jobs(
                    status=status, workflow=workflow, label=label, created_after=created_after,
                    created_before=created_before, limit=page, cursor=cursor,
                ),
            )
        )  # fmt: skip

    def cancel(self, job: Job | str) -> Job:
        """Cancel it; gives how it stands then. One that has ended stays as it is."""
        return self._runner.run(self._caller.ask(calls.cancel_job(id_of(job))))

    def purge(self, job: Job | str) -> None:
        """Delete an ended job with its inputs and outputs, everywhere and for good.

        Raises:
            Conflict: it has not ended; ``code`` is ``job.not_ended``, or ``job.stopping`` while its node lets go of it.
            NotFound: there is no such job, or not any more.
        """
        self._runner.run(self._caller.ask(calls.purge_job(id_of(job))))

    def watch(self, job: Job | str, *, after: int | None = None, timeout: float | None = None) -> Iterator[JobEvent]:
        """What happens to it until it has ended, each state and output once, over however many connections.

        Args:
            job: or its id.
            after: also tell the states that followed this ``seq``; 0 for all.
            timeout: seconds that the whole may take; then StillRunning.
        """
        return self._runner.iterate(watch.watch(self._caller, id_of(job), after=after, timeout=timeout))

    def watch_many(self, jobs: Iterable[Job | str], *, timeout: float | None = None) -> Iterator[JobEvent]:
        """What happens to several jobs until all have ended, over one websocket. Raises what ``watch`` raises."""
        return self._runner.iterate(watch.watch_many(self._caller, [id_of(job) for job in jobs], timeout=timeout))

    def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        """The job once it has ended, however it did. Raises StillRunning after ``timeout`` seconds."""
        return self._runner.run(watch.ended(self._caller, id_of(job), timeout=timeout))

    def outputs(self, job: Job | str) -> tuple[Output, ...]:
        """What a completed job made, in the order that ``index`` counts."""
        return self._runner.run(self._caller.ask(calls.read_outputs(id_of(job)))).outputs

    @overload
    def download(self, job: Job | str, index: int | None = None, *, to: None = None) -> bytes: ...
    @overload
    def download(self, job: Job | str, index: int | None = None, *, to: str | os.PathLike[str]) -> Output: ...
    def download(
        self, job: Job | str, index: int | None = None, *, to: str | os.PathLike[str] | None = None
    ) -> bytes | Output:
        """One output, checked against its SHA-256: its bytes, or with ``to`` its record once that file is written.

        The file is there whole or not at all. ``index`` counts all outputs; by default it is the first file that is
        no preview, else the first preview, else the first text or other value.
        """
        if to is None:
            return self._runner.run(download.to_memory(self._caller, id_of(job), index))
        return self._runner.run(download.to_file(self._caller, id_of(job), index, Path(to)))


class Keys(_Part):
    """API keys of the user."""

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> NewKey:
        """Make a key. Its text is in the answer and nowhere else; by default it may read and write jobs."""
        call = calls.create_key(name, scopes, expires_at, idempotency_key=idempotency_key or new_idempotency_key())
        return self._runner.run(self._caller.ask(call))

    def list(self) -> tuple[Key, ...]:
        """All that work, newest first."""
        return self._runner.run(self._caller.ask(calls.list_keys()))

    def revoke(self, key: Key | NewKey | str) -> None:
        """End a key."""
        key_id = key if isinstance(key, str) else key.id
        self._runner.run(self._caller.ask(calls.revoke_key(key_id)))
