"""What operators ask for."""

from typing import Annotated

from pydantic import Field

from gateway.accounts.requests import Asked


class JobPatch(Asked):
    """What an operator changes of a job that has not ended: its place among its owner's own, higher first."""

    priority: Annotated[int, Field(ge=-100, le=100)]
