"""The blocking client."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
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
from comfyfleet_client.pages import PAGE_SIZE, iterate_pages
from comfyfleet_client.results import Job, Key, Me, NewKey, Output, User
from comfyfleet_client.retry import Retry
from comfyfleet_client.setup import USER_AGENT, build_submission, create_caller, get_job_id, new_idempotency_key
from comfyfleet_client.sync_admin import Admin
from comfyfleet_client.sync_fleet import Fleet
from comfyfleet_client.sync_runner import SyncRunner
from comfyfleet_client.sync_uploads import Uploads
from comfyfleet_client.sync_workflows import Workflows


class Client:
    """Client of one comfyfleet service. Thread-safe; close it, or use it as a context manager.

    Without a credential it uses ``COMFYFLEET_KEY``. Sessions are refreshed automatically; with username and password
    they are also opened automatically. Every method raises ``ComfyfleetError``.

    Args:
        base_url: URL of the service, ``COMFYFLEET_URL`` by default.
        key: an API key.
        token: an access token that the caller refreshes.
        session: an earlier login.
        username: user to log in as when needed.
        password: password of this user.
        on_session: called with every session that is opened or refreshed, so that it can be stored.
        lock_session: locks the stored session for as long as a refresh takes, and returns it. Programs that share it
            then use the session that another one has refreshed, instead of refreshing an older one.
        timeout: seconds for each connection, and between two chunks of a response.
        retry: the retry policy.
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
        lock_session: Callable[[], AbstractContextManager[Session | None]] = nullcontext,
        timeout: float = 30.0,
        retry: Retry | None = None,
    ) -> None:
        self._caller = create_caller(
            base_url, key=key, token=token, session=session, username=username, password=password,
            on_session=on_session, retry=retry, lock_session=lock_session,
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
        self._runner.close()

    def register(self, username: str, email: str, password: str, *, invite: str | None = None) -> User:
        """Register an account. ``invite``: the token of an invite, if the service requires one."""
        return self._runner.run(self._caller.execute(calls.register(username, email, password, invite)))

    def login(self, username: str, password: str) -> Session:
        """Open a session and use it from now on."""
        return self._runner.run(self._caller.login(username, password))

    def logout(self, *, everywhere: bool = False) -> None:
        """End the session, or every session of the user."""
        self._runner.run(self._caller.logout(everywhere=everywhere))

    def change_password(self, current: str, new: str) -> None:
        """Change the password; every other session ends."""
        self._runner.run(self._caller.execute(calls.change_password(current, new)))

    def export(self, to: str | os.PathLike[str], *, files: bool = True) -> None:
        """Download all data of the account to a ZIP file, with or without ``files``. Requires a session."""
        self._runner.run(download.export_to_file(self._caller, Path(to), files=files))

    def erase(self, password: str) -> None:
        """Erase the session's account permanently: credentials at once, everything else within seconds."""
        self._runner.run(self._caller.execute(calls.erase_account(password)))

    def me(self) -> Me:
        """Return the user, its limits and its usage."""
        return self._runner.run(self._caller.execute(calls.read_current_user()))

    def usage(self, *, days: int | None = None) -> tuple[UsageDay, ...]:
        """Return the user's usage of the last UTC days, 90 by default, newest first."""
        return self._runner.run(self._caller.execute(fleet_calls.read_usage(days)))

    def models(self) -> Mapping[str, list[str]]:
        """Return the model files of the fleet, by the loader input that takes them."""
        return self._runner.run(self._caller.execute(calls.list_models()))


class _Resource:
    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner


class Jobs(_Resource):
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
        """Submit a job. Retries never create a second job.

        Args:
            prompt: describes the image to generate; ``parameters`` are then width, height, steps, seed and so on.
            workflow: a graph in ComfyUI's API format, instead of a prompt.
            idempotency_key: identifies this submission for 24 hours; random by default.
            parameters: all other fields of a submission: workflow_name, randomize_seeds, priority, labels, …
        """
        body = build_submission(prompt, workflow, parameters)
        return self._runner.run(
            self._caller.execute(calls.submit_job(body, idempotency_key=idempotency_key or new_idempotency_key()))
        )

    def get(self, job: Job | str) -> Job:
        """Return the job's current state."""
        return self._runner.run(self._caller.execute(calls.read_job(get_job_id(job))))

    def list(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        label: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Job]:
        """Yield the user's jobs, newest first, fetching pages as needed. ``label`` is key:value."""
        return self._runner.iterate(
            iterate_pages(
                self._caller,
                lambda cursor: calls.list_jobs(
                    status=status, workflow=workflow, label=label, created_after=created_after,
                    created_before=created_before, limit=page_size, cursor=cursor,
                ),
            )
        )  # fmt: skip

    def cancel(self, job: Job | str) -> Job:
        """Cancel the job and return its state. A job that has ended stays unchanged."""
        return self._runner.run(self._caller.execute(calls.cancel_job(get_job_id(job))))

    def purge(self, job: Job | str) -> None:
        """Delete an ended job with its inputs and outputs permanently.

        Raises:
            Conflict: the job has not ended; ``code`` is ``job.not_ended``, or ``job.stopping`` while its node stops
                it.
            NotFound: there is no such job.
        """
        self._runner.run(self._caller.execute(calls.purge_job(get_job_id(job))))

    def watch(self, job: Job | str, *, after: int | None = None, timeout: float | None = None) -> Iterator[JobEvent]:
        """Yield the job's events until it ends, each state and output once, across reconnects.

        Args:
            job: the job or its id.
            after: also yield the states after this ``seq``; 0 for all.
            timeout: seconds in total; then JobStillRunning is raised.
        """
        return self._runner.iterate(watch.watch(self._caller, get_job_id(job), after=after, timeout=timeout))

    def watch_many(self, jobs: Iterable[Job | str], *, timeout: float | None = None) -> Iterator[JobEvent]:
        """Yield the events of several jobs until all have ended, over one websocket. Raises like ``watch``."""
        return self._runner.iterate(watch.watch_many(self._caller, [get_job_id(job) for job in jobs], timeout=timeout))

    def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        """Wait until the job ends and return it.

        Raises:
            JobStillRunning: the job has not ended after ``timeout`` seconds.
        """
        return self._runner.run(watch.wait_until_ended(self._caller, get_job_id(job), timeout=timeout))

    def outputs(self, job: Job | str) -> tuple[Output, ...]:
        """Return the outputs of a completed job, in the order of their ``index``."""
        return self._runner.run(self._caller.execute(calls.read_outputs(get_job_id(job)))).outputs

    @overload
    def download(self, job: Job | str, index: int | None = None, *, to: None = None) -> bytes: ...
    @overload
    def download(self, job: Job | str, index: int | None = None, *, to: str | os.PathLike[str]) -> Output: ...
    def download(
        self, job: Job | str, index: int | None = None, *, to: str | os.PathLike[str] | None = None
    ) -> bytes | Output:
        """Download one output and verify its SHA-256.

        Returns its bytes, or with ``to`` its record once the file is written.

        The file is written completely or not at all. ``index`` counts all outputs; the default is the first file that
        is not a preview, else the first preview, else the first text or other value.
        """
        if to is None:
            return self._runner.run(download.download_to_memory(self._caller, get_job_id(job), index))
        return self._runner.run(download.download_to_file(self._caller, get_job_id(job), index, Path(to)))


class Keys(_Resource):
    """API keys of the user."""

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> NewKey:
        """Create a key, by default for reading and writing jobs. Its text is only in this result."""
        call = calls.create_key(name, scopes, expires_at, idempotency_key=idempotency_key or new_idempotency_key())
        return self._runner.run(self._caller.execute(call))

    def list(self) -> tuple[Key, ...]:
        """Return the working keys, newest first."""
        return self._runner.run(self._caller.execute(calls.list_keys()))

    def revoke(self, key: Key | NewKey | str) -> None:
        key_id = key if isinstance(key, str) else key.id
        self._runner.run(self._caller.execute(calls.revoke_key(key_id)))
