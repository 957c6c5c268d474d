"""Posts a prompt to the node exactly once."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient, PromptReply
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt import AttemptRecord, Phase
from executor.domain.attempt_result import (
    NODE_LOST,
    NODE_UNREACHABLE,
    AttemptResult,
    build_node_death,
    classify_rejection,
)
from executor.store.journal import Journal
from executor.usecases.find_prompt import has_prompt
from executor.usecases.prepare_prompt import Prompt, PromptBuilder
from executor.usecases.stop_prompt import stop_prompt

MAX_POSTS = 3  # requests for a prompt that always causes a server error
REPOST_PAUSE_S = 0.3
NODE_REFUSES_JOBS = build_node_death("node.fault", "The node does not accept jobs.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPoster:
    """Posts prompts to the node.

    Attributes:
        unreachable_s: how long the node may be unreachable before the attempt is given up.
        stop_within_s: time limit for stopping a partially valid prompt.
    """

    node: ComfyUIClient
    builder: PromptBuilder
    journal: Journal
    unreachable_s: float
    stop_within_s: float

    async def post_prompt(
        self, record: AttemptRecord, files: Mapping[str, str], *, maybe_posted: bool, prompt: Prompt | None = None
    ) -> AttemptResult | None:
        """Post the prompt of an attempt, unless the node already has it.

        Args:
            files: node file names of the job's uploads.
            maybe_posted: whether an earlier executor may have posted it without recording it.
            prompt: prompt that was built before; None to build it now.

        Returns:
            None once the node has it, or how the attempt ended without it.

        Raises:
            StagingFailed: the tenant's policy refuses the graph.
            JournalNotWritable: nothing was posted.
        """
        if record.phase is Phase.POSTED:
            return None
        posts, unreachable_since = 0, time.monotonic()
        recently_sent = record.phase is Phase.POSTING
        check_first = maybe_posted or recently_sent
        while True:
            posting = False
            try:
                if check_first and await has_prompt(self.node, record.prompt_id, recently_sent=recently_sent):
                    log.info("executor.prompt.adopted", prompt_id=record.prompt_id)
                    self.journal.record_posted(record.prompt_id)
                    return None
                if posts >= MAX_POSTS:
                    return await self._abandon_prompt(record, NODE_REFUSES_JOBS)
                prompt = prompt or await self.builder.build_prompt(record, files)
                self._record_posting(record, is_repeated=posts > 0)
                posting = True
                return await self._handle_reply(record, await self._post_uninterrupted(prompt, record))
            except NodeUnavailable as unavailable:
                log.warning(
                    "executor.prompt.post_uncertain",
                    prompt_id=record.prompt_id,
                    why=str(unavailable),
                    may_have_arrived=unavailable.may_have_arrived,
                )
                if posting and unavailable.may_have_arrived:
                    # If the node may have received the prompt, look for it before posting again.
                    posts, check_first, recently_sent, unreachable_since = posts + 1, True, True, time.monotonic()
                elif time.monotonic() - unreachable_since > self.unreachable_s:
                    may_have_arrived = posts > 0 or record.phase is Phase.POSTING
                    return await self._abandon_prompt(record, NODE_LOST if may_have_arrived else NODE_UNREACHABLE)
                await asyncio.sleep(REPOST_PAUSE_S)

    def _record_posting(self, record: AttemptRecord, *, is_repeated: bool) -> None:
        if record.phase is Phase.ASSIGNED and not is_repeated:
            self.journal.record_posting(record.prompt_id)

    async def _abandon_prompt(self, record: AttemptRecord, result: AttemptResult) -> AttemptResult:
        self.journal.add_orphan(record.prompt_id)
        return result

    async def _post_uninterrupted(self, prompt: Prompt, record: AttemptRecord) -> PromptReply:
        """Post the prompt. A cancellation waits for the reply first, so that no prompt is queued unnoticed."""
        post = asyncio.create_task(
            self.node.post_prompt(prompt.graph, record.prompt_id, record.client_id, prompt.extra_data)
        )
        try:
            return await asyncio.shield(post)
        except asyncio.CancelledError:
            await asyncio.wait({post})
            if not post.cancelled():
                post.exception()
            raise

    async def _handle_reply(self, record: AttemptRecord, reply: PromptReply) -> AttemptResult | None:
        if reply.accepted and not reply.node_errors:
            self.journal.record_posted(record.prompt_id)
            log.info("executor.prompt.posted", prompt_id=record.prompt_id)
            return None
        if reply.accepted:
            # Partially accepted: some outputs would silently be missing.
            await stop_prompt(self.node, self.journal, record.prompt_id, within_s=self.stop_within_s)
        return classify_rejection(reply.error, reply.node_errors)
