"""Admin operations on users, tiers, class rules and invites."""

from collections.abc import Iterator, Mapping

from comfyfleet_client import access_calls, calls
from comfyfleet_client.access_calls import CLASSES, PACKS
from comfyfleet_client.access_results import ClassRules, Invite, NewInvite
from comfyfleet_client.caller import Caller
from comfyfleet_client.pages import PAGE_SIZE, iterate_pages
from comfyfleet_client.results import Account, Tier
from comfyfleet_client.sync_runner import SyncRunner


class Admin:
    """Users, tiers, class rules and invites, for admins."""

    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner

    def users(
        self,
        *,
        search: str | None = None,
        tier: str | None = None,
        role: str | None = None,
        is_active: bool | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Account]:
        """Yield accounts, newest first; ``search`` matches part of the username or email address."""
        return self._runner.iterate(
            iterate_pages(
                self._caller,
                lambda cursor: calls.list_users(
                    search=search, tier=tier, role=role, is_active=is_active, limit=page_size, cursor=cursor
                ),
            )
        )

    def user(self, user_id: str) -> Account:
        """Return one account."""
        return self._runner.run(self._caller.execute(calls.read_user(user_id)))

    def change_user(
        self,
        user_id: str,
        *,
        tier: str | None = None,
        role: str | None = None,
        is_active: bool | None = None,
        limits: Mapping[str, float | str | None] | None = None,
        shares_quota: bool | None = None,
    ) -> Account:
        """Change the given properties. ``limits`` replaces all overrides of the user; {} removes them.

        ``shares_quota``: False gives the user a daily image quota of its own.
        """
        call = calls.change_user(
            user_id, tier=tier, role=role, is_active=is_active, limits=limits, shares_quota=shares_quota
        )
        return self._runner.run(self._caller.execute(call))

    def erase_user(self, user_id: str) -> None:
        """Erase an account permanently, in every service."""
        self._runner.run(self._caller.execute(calls.erase_user(user_id)))

    def tiers(self) -> tuple[Tier, ...]:
        """Return every tier, smallest first."""
        return self._runner.run(self._caller.execute(calls.list_tiers()))

    def change_tier(self, name: str, /, **limits: float | str | None) -> Tier:
        """Change the named limits; None removes one."""
        return self._runner.run(self._caller.execute(calls.change_tier(name, limits)))

    def class_rules(self) -> ClassRules:
        """Return the rules in force about node classes and packs."""
        return self._runner.run(self._caller.execute(access_calls.read_class_rules()))

    def allow_class(self, name: str) -> ClassRules:
        """Allow a node class for every tenant, unless a rule denies it."""
        return self._runner.run(self._caller.execute(access_calls.set_class_rule(CLASSES, name, "allow")))

    def deny_class(self, name: str) -> ClassRules:
        """Deny a node class for every tenant."""
        return self._runner.run(self._caller.execute(access_calls.set_class_rule(CLASSES, name, "deny")))

    def reset_class(self, name: str) -> ClassRules:
        """Remove the rule about a node class."""
        return self._runner.run(self._caller.execute(access_calls.reset_class_rule(CLASSES, name)))

    def allow_pack(self, name: str) -> ClassRules:
        """Allow the classes of a pack, such as ``custom_nodes.my_pack``, for every tenant, unless denied."""
        return self._runner.run(self._caller.execute(access_calls.set_class_rule(PACKS, name, "allow")))

    def deny_pack(self, name: str) -> ClassRules:
        """Deny the classes of a pack for every tenant."""
        return self._runner.run(self._caller.execute(access_calls.set_class_rule(PACKS, name, "deny")))

    def reset_pack(self, name: str) -> ClassRules:
        """Remove the rule about a pack."""
        return self._runner.run(self._caller.execute(access_calls.reset_class_rule(PACKS, name)))

    def invites(self, *, page_size: int = PAGE_SIZE) -> Iterator[Invite]:
        """Yield invites, newest first."""
        return self._runner.iterate(
            iterate_pages(self._caller, lambda cursor: access_calls.list_invites(limit=page_size, cursor=cursor))
        )

    def create_invite(self, *, tier: str | None = None, expires_in_days: int | None = None) -> NewInvite:
        """Create an invite, by default for tier free and 7 days. Its token is only in this result."""
        return self._runner.run(self._caller.execute(access_calls.create_invite(tier, expires_in_days)))

    def revoke_invite(self, invite: Invite | NewInvite | str) -> None:
        """Revoke an invite. Raises Conflict if an account was registered with it."""
        invite_id = invite if isinstance(invite, str) else invite.id
        self._runner.run(self._caller.execute(access_calls.revoke_invite(invite_id)))
