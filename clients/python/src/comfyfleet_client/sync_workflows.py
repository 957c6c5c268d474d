"""Saved workflows."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfyfleet_client import workflow_calls as calls
from comfyfleet_client.caller import Caller
from comfyfleet_client.pages import PAGE_SIZE, iterate_pages
from comfyfleet_client.setup import build_submission
from comfyfleet_client.sync_runner import SyncRunner
from comfyfleet_client.workflow_calls import SavedWorkflow, Validation, WorkflowVersion


class Workflows:
    """Saved workflows, and validation of workflows. Run a saved one with ``jobs.submit(workflow_name=...)``."""

    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner

    def validate(
        self, /, prompt: str | None = None, *, workflow: Mapping[str, Any] | None = None, **parameters: Any
    ) -> Validation:
        """Return what ``jobs.submit`` with the same arguments would report, without running anything or using quota."""
        return self._runner.run(self._caller.execute(calls.validate(build_submission(prompt, workflow, parameters))))

    def list(self, *, page_size: int = PAGE_SIZE) -> Iterator[SavedWorkflow]:
        """Yield the user's saved workflows, most recently changed first, fetching pages as needed."""
        return self._runner.iterate(
            iterate_pages(self._caller, lambda cursor: calls.list_workflows(limit=page_size, cursor=cursor))
        )

    def get(self, name: str, *, version: int | None = None) -> WorkflowVersion:
        """Return one version, by default the newest."""
        return self._runner.run(self._caller.execute(calls.read_workflow(name, version)))

    def save(
        self,
        name: str,
        workflow: Mapping[str, Any],
        *,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> WorkflowVersion:
        """Save a graph in ComfyUI's API format. Changed content creates a new version.

        Args:
            name: lower-case letters, digits, "-" and "_".
            workflow: the graph.
            parameters: the parameters by name, each with its ``node`` and ``input``; by default taken from node titles
                such as ``$name``.
            description: a description for people.
        """
        call = calls.save_workflow(name, workflow, parameters=parameters, description=description)
        return self._runner.run(self._caller.execute(call))

    def delete(self, name: str) -> None:
        """Delete a workflow with all its versions. Its jobs stay."""
        self._runner.run(self._caller.execute(calls.delete_workflow(name)))
