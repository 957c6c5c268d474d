"""Questions whose answer may be a moment old."""

from typing import Generic, TypeVar

from cachetools import TTLCache
from pydantic import BaseModel

from chassis.bus import Bus
from contracts.wire.topic import FLEET, Rpc

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

AT_MOST = 10_000  # answers kept at a time


class Remembered(Generic[P, R]):
    """Asks a topic, and gives the same answer to the same question again for a while. Refusals are not remembered.

    Args:
        seconds: how old an answer may be: as long, a change may go unnoticed.
    """

    def __init__(self, bus: Bus, topic: Rpc[P, R], *, seconds: float) -> None:
        self._bus, self._topic = bus, topic
        self._answers: TTLCache[tuple[str, P], R] = TTLCache(maxsize=AT_MOST, ttl=seconds)

    async def ask(self, payload: P, *, tenant: str = FLEET) -> R:
        """The answer, fresh or remembered. Raises what ``Bus.ask`` raises."""
        question = (tenant, payload)
        answer = self._answers.get(question)
        if answer is None:
            answer = self._answers[question] = await self._bus.ask(self._topic, payload, tenant=tenant)
        return answer
