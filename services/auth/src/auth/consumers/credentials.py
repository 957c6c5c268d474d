"""Credentials, and what changed about those that they speak for."""

from auth.usecases.read_changes import ChangeReader
from auth.usecases.verify_credential import CredentialVerifier
from chassis.bus import Bus
from contracts.auth import READ_CHANGES, VERIFY_CREDENTIAL, Changes, Principal, ReadChanges, VerifyCredential
from contracts.wire.topic import Address


def register(bus: Bus, *, verifier: CredentialVerifier, changes: ChangeReader) -> None:
    """Serve the doors."""

    async def verify(command: VerifyCredential, _: Address) -> Principal:
        return await verifier.verify(command.credential.get_secret_value())

    async def read_changes(query: ReadChanges, _: Address) -> Changes:
        return await changes.read(query.since)

    bus.serve(VERIFY_CREDENTIAL, verify)
    bus.serve(READ_CHANGES, read_changes)
