"""Exit statuses and messages of failures."""

from comfyfleet_client.cli.connection import NotLoggedIn
from comfyfleet_client.cli.show import print_note
from comfyfleet_client.errors import ApiError, ComfyfleetError, LimitReached

OK = 0
JOB_FAILED = 1
USAGE = 2
REFUSED = 3
UNAVAILABLE = 4


def find_exit_code(error: ComfyfleetError) -> int:
    """Return REFUSED if the request was refused, UNAVAILABLE if it could not be answered."""
    refused = error.status < 500 if isinstance(error, ApiError) else isinstance(error, NotLoggedIn)
    return REFUSED if refused else UNAVAILABLE


def print_error(error: ComfyfleetError) -> None:
    """Print what went wrong, each error on its own line."""
    print_note(f"comfyfleet: {error}")
    if not isinstance(error, ApiError):
        return
    for each in error.errors:
        print_note(f"  {each}")
    if isinstance(error, LimitReached) and error.retry_after is not None:
        print_note(f"  Try again in {error.retry_after:g} s.")
    if find_exit_code(error) == UNAVAILABLE and error.request_id:
        print_note(f"  Id for the operator: request {error.request_id}.")
