"""Grants executors the links to the inputs of a job, and the links to upload its outputs."""

from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.gateway.transfers import (
    GRANT_INPUTS,
    GRANT_OUTPUTS,
    GrantInputs,
    GrantOutputs,
    InputsGranted,
    OutputsGranted,
)
from contracts.wire.errors import InvalidMessage
from contracts.wire.topic import Address
from gateway.transfers.input_downloads import InputDownloads
from gateway.transfers.output_uploads import OutputUploads


def serve_grants(bus: Bus, downloads: InputDownloads, uploads: OutputUploads) -> None:
    """Serve requests of executors for links. Call it before the bus starts."""

    async def grant_inputs(request: GrantInputs, address: Address) -> InputsGranted:
        return await downloads.grant_links(request, _parse_tenant_id(address))

    async def grant_outputs(request: GrantOutputs, address: Address) -> OutputsGranted:
        return uploads.create_upload_links(request, _parse_tenant_id(address))

    bus.serve(GRANT_INPUTS, grant_inputs)
    bus.serve(GRANT_OUTPUTS, grant_outputs)


def _parse_tenant_id(address: Address) -> UUID:
    try:
        return UUID(address.tenant)
    except ValueError:
        raise InvalidMessage from None
