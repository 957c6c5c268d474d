"""How long the scheduler may hold a request for work until there is a job."""

REPLY_S = 2.0  # maximum time from the end of the wait until the reply arrives
LONG_IDLE_REPLIES = 12  # empty replies in a row: a minute with the default setting
LONG_IDLE_FACTOR = 2


def choose_wait_s(wait_s: float, *, empty_replies: int) -> float:
    """Return how long the scheduler may hold the next request of a free node, seconds.

    Each request that ends without a job costs some work, so the wait is longer for a node that has been idle for a long
    time. It is not longer still, because a node may be without a request for that long after a scheduler crash, and
    because the node's queue is not checked for foreign prompts during the wait.

    Args:
        wait_s: the result for a node that had a job recently.
        empty_replies: replies without a job since the node had its last job.
    """
    return wait_s * LONG_IDLE_FACTOR if empty_replies >= LONG_IDLE_REPLIES else wait_s
