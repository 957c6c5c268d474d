"""Erasure of accounts. Every service deletes the data of an erased account."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret
from contracts.auth.rpc import PASSWORD_HASH_TIMEOUT_S, auth_rpc
from contracts.wire.model import StrictModel, TolerantModel


class EraseAccount(StrictModel):
    """Erase one's own account, everywhere and for good. ``password`` proves that it is meant."""

    password: Secret
    ip: Ip | None = None


class EraseUser(StrictModel):
    """An admin erases somebody's account, everywhere and for good."""

    user_id: UUID
    ip: Ip | None = None


class ReadErasures(StrictModel):
    """Ask which accounts were erased, from behind the one of this number; 0 for all that ever were."""

    after: Annotated[int, Field(ge=0)] = 0


class Erasure(TolerantModel):
    """An account that is no more. Nothing may be left of its tenant anywhere."""

    number: int
    tenant_id: UUID
    at: datetime


class Erasures(TolerantModel):
    """Erasures by number, ``now`` by auth's clock; ``more`` says whether others follow."""

    erasures: tuple[Erasure, ...]
    more: bool
    now: datetime


ERASE_ACCOUNT = auth_rpc(
    "account", "erase", EraseAccount, Done, "A user erases the own account.", timeout_s=PASSWORD_HASH_TIMEOUT_S
)
ERASE_USER = auth_rpc("user", "erase", EraseUser, Done, "An admin erases an account.")
READ_ERASURES = auth_rpc(
    "erasures", "read", ReadErasures, Erasures, "Read which accounts were erased.", producers=("gateway", "scheduler")
)

TOPICS = (ERASE_ACCOUNT, ERASE_USER, READ_ERASURES)
