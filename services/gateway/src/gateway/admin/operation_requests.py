"""Request bodies for the actions of admins."""

from typing import Annotated

from pydantic import Field

from gateway.edge.request_model import RequestBody


class JobPatch(RequestBody):
    """The priority of a job that has not ended among its owner's jobs. Higher runs first."""

    priority: Annotated[int, Field(ge=-100, le=100)]
