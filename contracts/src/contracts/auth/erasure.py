"""Erasure of accounts. Every service deletes the data of an erased account."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret
from contracts.auth.rpc import PASSWORD_HASH_TIMEOUT_S, declare_auth_rpc
from contracts.wire.model import StrictModel, TolerantModel


class EraseAccount(StrictModel):
    """Delete the account of the user in the subject and all its data. ``password`` confirms the request."""

    password: Secret
    ip: Ip | None = None


class EraseUser(StrictModel):
    """Delete a user's account and all its data, on behalf of an admin."""

    user_id: UUID
    ip: Ip | None = None


class ReadErasures(StrictModel):
    """List erasures with a number greater than ``after``; 0 lists all."""

    after: Annotated[int, Field(ge=0)] = 0


class Erasure(TolerantModel):
    """An erased account. Every service must delete all data of its tenant."""

    number: int
    tenant_id: UUID
    at: datetime


class Erasures(TolerantModel):
    """Erasures in ascending order. ``now`` is the time of auth's database; ``more`` is true if others follow."""

    erasures: tuple[Erasure, ...]
    more: bool
    now: datetime


ERASE_ACCOUNT = declare_auth_rpc(
    "account", "erase", EraseAccount, Done, "A user erases their own account.", timeout_s=PASSWORD_HASH_TIMEOUT_S
)
ERASE_USER = declare_auth_rpc("user", "erase", EraseUser, Done, "An admin erases an account.")
READ_ERASURES = declare_auth_rpc(
    "erasures", "read", ReadErasures, Erasures, "Read which accounts were erased.", producers=("gateway", "scheduler")
)

TOPICS = (ERASE_ACCOUNT, ERASE_USER, READ_ERASURES)
