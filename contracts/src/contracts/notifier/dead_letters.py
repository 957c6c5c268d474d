"""Dead letters of the notifier: messages of streams that it could not handle."""

from contracts.wire.dead_letters import DeadLetterPage, ListDeadLetters, RedriveDeadLetter, Redriven
from contracts.wire.topic import MessageKind, Rpc

LIST_DEAD_LETTERS: Rpc[ListDeadLetters, DeadLetterPage] = Rpc(
    kind=MessageKind.RPC,
    owner="notifier",
    noun="dead_letters",
    verb="list",
    payload=ListDeadLetters,
    reply=DeadLetterPage,
    description="An operator lists messages that the notifier could not handle.",
    producers=("gateway",),
    consumers=("notifier",),
)
REDRIVE_DEAD_LETTER: Rpc[RedriveDeadLetter, Redriven] = Rpc(
    kind=MessageKind.RPC,
    owner="notifier",
    noun="dead_letters",
    verb="redrive",
    payload=RedriveDeadLetter,
    reply=Redriven,
    description="An operator redrives a message.",
    producers=("gateway",),
    consumers=("notifier",),
    timeout_s=15.0,
)

TOPICS = (LIST_DEAD_LETTERS, REDRIVE_DEAD_LETTER)
