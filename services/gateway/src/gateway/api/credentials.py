"""Who is asking."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from chassis.credential import presented
from chassis.remembered import Remembered
from contracts.auth import BadCredential, Principal, VerifyCredential

# Only for the document: reading and judging is done below, for both at once.
_API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")
_BEARER = HTTPBearer(auto_error=False, description="The same key as a bearer token.")


async def principal(
    request: Request, _key: Annotated[object, Depends(_API_KEY)], _bearer: Annotated[object, Depends(_BEARER)]
) -> Principal:
    """The owner of the one credential that the request presents.

    Raises:
        BadCredential: none, malformed, several, or not valid. Only a well-formed one costs a question to auth.
        Unavailable: auth does not answer; nobody is let in meanwhile.
    """
    owners: Remembered[VerifyCredential, Principal] = request.app.state.owners
    match presented(request.headers):
        case [str(credential)]:
            return await owners.ask(VerifyCredential(credential=credential))
        case _:
            raise BadCredential


async def tenant(who: Annotated[Principal, Depends(principal)]) -> str:
    """The tenant that a request acts for."""
    return str(who.user_id)


Tenant = Annotated[str, Depends(tenant)]
