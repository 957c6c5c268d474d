"""What auth answers over NATS."""

from auth.usecases.read_tenant import TenantReader
from auth.usecases.verify_credential import CredentialVerifier
from chassis.bus import Bus
from contracts.auth import READ_TENANT, VERIFY_CREDENTIAL, Principal, ReadTenant, Tenant, VerifyCredential
from contracts.wire.topic import Address


def register(bus: Bus, *, verifier: CredentialVerifier, tenants: TenantReader) -> None:
    """Serve every request that auth owns."""

    async def verify(command: VerifyCredential, _: Address) -> Principal:
        return await verifier.verify(command.credential)

    async def read_tenant(_: ReadTenant, address: Address) -> Tenant:
        return await tenants.read(address.tenant)

    bus.serve(VERIFY_CREDENTIAL, verify)
    bus.serve(READ_TENANT, read_tenant)
