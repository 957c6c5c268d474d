"""User and tier requests. For admin requests the acting admin is the user in the subject."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.change_tier import TierChanger
from auth.usecases.change_user import UserChanger
from auth.usecases.list_tiers import TierLister
from auth.usecases.list_users import UserLister
from auth.usecases.read_account import AccountReader
from auth.usecases.read_tenant import TenantReader
from chassis.messaging.bus import Bus
from contracts.auth.accounts import (
    CHANGE_USER,
    LIST_USERS,
    PREVIEW_USER_CHANGE,
    READ_ACCOUNT,
    READ_TENANT,
    READ_USERNAMES,
    Account,
    ChangeUser,
    ListUsers,
    ReadAccount,
    ReadTenant,
    ReadUsernames,
    Tenant,
    Usernames,
    UserPage,
)
from contracts.auth.tiers import (
    CHANGE_TIER,
    LIST_TIERS,
    PREVIEW_TIER_CHANGE,
    ChangeTier,
    ListTiers,
    TierLimits,
    Tiers,
)
from contracts.preview import Preview
from contracts.wire.topic import Address


def register(bus: Bus, *, tenant_reader: TenantReader, account_reader: AccountReader) -> None:
    async def read_tenant(_: ReadTenant, address: Address) -> Tenant:
        return await tenant_reader.read_tenant(parse_user_id(address))

    async def read_account(_: ReadAccount, address: Address) -> Account:
        return await account_reader.read_account(parse_user_id(address))

    bus.serve(READ_TENANT, read_tenant)
    bus.serve(READ_ACCOUNT, read_account)


def register_user_administration(
    bus: Bus, *, user_lister: UserLister, user_changer: UserChanger, tier_lister: TierLister, tier_changer: TierChanger
) -> None:
    async def list_users(query: ListUsers, address: Address) -> UserPage:
        return await user_lister.list_users(parse_user_id(address), query)

    async def read_usernames(query: ReadUsernames, address: Address) -> Usernames:
        return await user_lister.read_usernames(parse_user_id(address), query)

    async def change_user(command: ChangeUser, address: Address) -> Account:
        return await user_changer.change_user(parse_user_id(address), command)

    async def preview_user_change(command: ChangeUser, address: Address) -> Preview:
        return await user_changer.preview_change(parse_user_id(address), command)

    async def preview_tier_change(command: ChangeTier, address: Address) -> Preview:
        return await tier_changer.preview_change(parse_user_id(address), command)

    async def list_tiers(_: ListTiers, __: Address) -> Tiers:
        return await tier_lister.list_tiers()

    async def change_tier(command: ChangeTier, address: Address) -> TierLimits:
        return await tier_changer.change_tier(parse_user_id(address), command)

    bus.serve(LIST_USERS, list_users)
    bus.serve(READ_USERNAMES, read_usernames)
    bus.serve(CHANGE_USER, change_user)
    bus.serve(LIST_TIERS, list_tiers)
    bus.serve(CHANGE_TIER, change_tier)
    bus.serve(PREVIEW_USER_CHANGE, preview_user_change)
    bus.serve(PREVIEW_TIER_CHANGE, preview_tier_change)
