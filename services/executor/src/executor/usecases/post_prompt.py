"""Posts a prompt to the node exactly once."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.telemetry.logs import log
from executor.clients.comfyui import Answer, ComfyUI
from executor.clients.comfyui_answers import NodeAway
from executor.domain.attempt import Phase, Record
from executor.domain.verdict import LOST, NODE_AWAY, AttemptResult, node_death, rejected
from executor.store.journal import Journal
from executor.usecases.find_prompt import is_there
from executor.usecases.prepare_prompt import PreparePrompt, Prompt
from executor.usecases.stop_prompt import stop_prompt

POSTS = 3  # attempts for a prompt that always causes a server error
PAUSE_S = 0.3
UNWILLING = node_death("node.fault", "The node does not take jobs.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPrompt:
    """Posts prompts to the node.

    Attributes:
        unreachable_s: how long the node may be unreachable before the attempt is given up.
        stop_within_s: time limit for stopping a partially valid prompt.
    """

    node: ComfyUI
    prepare: PreparePrompt
    journal: Journal
    unreachable_s: float
    stop_within_s: float

    async def __call__(self, record: Record, files: Mapping[str, str], *, perhaps_there: bool) -> AttemptResult | None:
        """Post the prompt of an attempt, unless the node already has it.

        Args:
            files: node file names of the job's uploads.
            perhaps_there: whether an earlier executor may have posted it without recording it.

        Returns:
            None once the node has it, or how the attempt ended without it.

        Raises:
            CannotStage: the tenant's policy refuses the graph.
        """
        if record.phase is Phase.POSTED:
            return None
        prompt: Prompt | None = None
        posts, away_since = 0, time.monotonic()
        just_sent = record.phase is Phase.POSTING
        look = perhaps_there or just_sent
        while True:
            posting = False
            try:
                if look and await is_there(self.node, record.prompt_id, just_sent=just_sent):
                    log.info("executor.prompt.adopted", prompt_id=record.prompt_id)
                    self.journal.advance(Phase.POSTED)
                    return None
                if posts >= POSTS:
                    return await self._given_up(record, UNWILLING)
                prompt = prompt or await self.prepare(record, files)
                self.journal.advance(Phase.POSTING)
                posting = True
                return await self._answered(record, await self._post(prompt, record))
            except NodeAway as away:
                log.warning("executor.prompt.unsure", prompt_id=record.prompt_id, why=str(away), heard=away.heard)
                if posting and away.heard:
                    # If the node may have received the prompt, look for it before posting again.
                    posts, look, just_sent, away_since = posts + 1, True, True, time.monotonic()
                elif time.monotonic() - away_since > self.unreachable_s:
                    heard = posts > 0 or record.phase is Phase.POSTING
                    return await self._given_up(record, LOST if heard else NODE_AWAY)
                await asyncio.sleep(PAUSE_S)

    async def _given_up(self, record: Record, verdict: AttemptResult) -> AttemptResult:
        self.journal.leave(record.prompt_id)
        return verdict

    async def _post(self, prompt: Prompt, record: Record) -> Answer:
        """Post. A stop during the request waits for the reply, so that no prompt is queued unnoticed."""
        post = asyncio.create_task(self.node.post(prompt.graph, record.prompt_id, record.client_id, prompt.extra_data))
        try:
            return await asyncio.shield(post)
        except asyncio.CancelledError:
            await asyncio.wait({post})
            if not post.cancelled():
                post.exception()
            raise

    async def _answered(self, record: Record, answer: Answer) -> AttemptResult | None:
        if answer.accepted and not answer.node_errors:
            self.journal.advance(Phase.POSTED)
            return None
        if answer.accepted:
            # Partially accepted: some outputs would silently be missing.
            await stop_prompt(self.node, self.journal, record.prompt_id, within_s=self.stop_within_s)
        return rejected(answer.error, answer.node_errors)
