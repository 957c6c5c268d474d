"""Executors ask where the outputs of an attempt go."""

from uuid import UUID

from chassis.bus import Bus
from contracts.gateway import GRANT_OUTPUTS, GrantOutputs, OutputsGranted
from contracts.wire.errors import InvalidMessage
from contracts.wire.topic import Address
from gateway.usecases.store_output import Intake


def serve_grants(bus: Bus, intake: Intake) -> None:
    """Answer executors. To be called before the bus starts."""

    async def grant(asked: GrantOutputs, address: Address) -> OutputsGranted:
        try:
            tenant = UUID(address.tenant)
        except ValueError:
            raise InvalidMessage from None
        return intake.grant(asked, tenant)

    bus.serve(GRANT_OUTPUTS, grant)
