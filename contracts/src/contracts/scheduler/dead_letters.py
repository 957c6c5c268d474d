"""Dead letters: messages from executors that cannot be handled."""

from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.dead_letters import DeadLetterPage, ListDeadLetters, RedriveDeadLetter, Redriven
from contracts.wire.topic import Rpc

LIST_DEAD_LETTERS: Rpc[ListDeadLetters, DeadLetterPage] = declare_scheduler_rpc(
    "dead_letters", "list", ListDeadLetters, DeadLetterPage, "An operator lists requests that could not be handled."
)
REDRIVE_DEAD_LETTER: Rpc[RedriveDeadLetter, Redriven] = declare_scheduler_rpc(
    "dead_letters", "redrive", RedriveDeadLetter, Redriven, "An operator redrives a request; always refused."
)

TOPICS = (LIST_DEAD_LETTERS, REDRIVE_DEAD_LETTER)
