"""How long the scheduler may hold a request for work. Pure: no I/O, no clock."""

REPLY_S = 2.0  # from the end of the wait until the reply is here
LONG_IDLE_REPLIES = 12  # empty replies in a row: a minute with the default setting
LONG_IDLE_FACTOR = 2


def choose_wait_s(wait_s: float, *, empty_replies: int) -> float:
    """Return how long the scheduler may hold the next request of a free node, seconds.

    A request that ends without a job costs the scheduler and the node some work, so a node that has been idle for long
    requests less often. It is also how long a node may be without a request after a scheduler has crashed, and how old
    its look at the queue of the node is when it gets a job, so it does not grow further.

    Args:
        wait_s: of a node that had work lately.
        empty_replies: replies without a job since the node had one.
    """
    return wait_s * LONG_IDLE_FACTOR if empty_replies >= LONG_IDLE_REPLIES else wait_s
