"""Builds the routes and services for administrators."""

from dataclasses import dataclass

from chassis.messaging.dead_letters import DeadLetters
from gateway.admin import (
    account_routes,
    class_rule_routes,
    dead_letter_routes,
    invite_routes,
    login_link_routes,
    operation_routes,
    queue_routes,
)
from gateway.admin.dead_letters import AllDeadLetters
from gateway.admin.invites import InviteDirectory
from gateway.admin.node_actions import NodeActionService
from gateway.admin.operations import AdminActions
from gateway.admin.search import AdminSearch
from gateway.admin.stats import StatsView
from gateway.admin.storage_store import StorageTotals
from gateway.admin.usernames import UsernameDirectory
from gateway.admin.users import UserDirectory
from gateway.jobs.input_pins import InputPins
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class Admin(Feature):
    """The wired admin feature, with the component that records and performs the actions of admins."""

    operations: AdminActions


def wire_admin(infra: Infrastructure, pins: InputPins, own_dead_letters: DeadLetters) -> Admin:
    """Construct the admin feature.

    Args:
        infra: what all features use.
        pins: keeps the inputs of jobs that run again.
        own_dead_letters: the messages that the gateway could not process.
    """
    bus, url, cursor_keys = infra.bus, infra.settings.public_url, infra.derive_keys("cursors")
    operations = AdminActions(bus, pins)
    stats = StatsView(bus, StorageTotals(infra.database))
    dead_letters = AllDeadLetters(bus, own_dead_letters)
    usernames = UsernameDirectory(bus)
    node_actions = NodeActionService(operations, usernames)
    search = AdminSearch(bus, operations, dead_letters, cursor_keys=cursor_keys)
    return Admin(
        operations=operations,
        routers=(
            account_routes.create_router(bus=bus, users=UserDirectory(bus, cursor_keys=cursor_keys)),
            login_link_routes.create_router(bus=bus, public_url=url),
            class_rule_routes.create_router(bus=bus),
            invite_routes.create_router(bus=bus, invites=InviteDirectory(bus, cursor_keys=cursor_keys)),
            operation_routes.create_nodes_router(
                bus=bus, operations=operations, stats=stats, node_actions=node_actions
            ),
            operation_routes.create_node_actions_router(node_actions=node_actions),
            operation_routes.create_search_router(search=search, public_url=url),
            queue_routes.create_router(bus=bus, usernames=usernames),
            dead_letter_routes.create_router(search=search, operations=operations, dead_letters=dead_letters),
            operation_routes.create_jobs_router(operations=operations, public_url=url),
        ),
    )
