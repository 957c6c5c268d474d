"""What a route asks of a credential. Each route declares it by the type of one parameter; that is all it takes.

``gateway.edge.admission`` has found out who asks; here it is only looked at.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer

from contracts.auth.credentials import InvalidCredential, MissingScope, Principal, Scope
from gateway.edge.denials import Denials

_SCOPES = {
    Scope.JOBS_READ: "Jobs, results, what the fleet can run.",
    Scope.JOBS_WRITE: "Submit and cancel.",
    Scope.KEYS: "Make, list and revoke keys.",
    Scope.ADMIN: "Users and limits of everybody.",
}

# Only for the document: reading and judging was done before, for all at once.
_KEY = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False, description="An API key.")
_BEARER = HTTPBearer(scheme_name="Bearer", auto_error=False, description="An access token, or an API key.")
_PASSWORD = OAuth2PasswordBearer(
    tokenUrl="/api/v1/auth/login",
    refreshUrl="/api/v1/auth/refresh",
    scheme_name="Password",
    scopes={scope.value: says for scope, says in _SCOPES.items()},
    auto_error=False,
    description="Username and password for an access token.",
)


class Needs:
    """A dependency: the principal, if there is one and it has the scope. None is for any valid credential.

    Raises:
        InvalidCredential: there is no valid credential.
        Unavailable: whose it is cannot be found out now.
        MissingScope: it is not good for this.
    """

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope

    async def __call__(
        self,
        request: Request,
        _key: Annotated[object, Security(_KEY)],
        _bearer: Annotated[object, Security(_BEARER)],
        _password: Annotated[object, Security(_PASSWORD)],
    ) -> Any:
        """Look at who asks."""
        return self.value(request)

    def value(self, request: Request) -> Any:
        """What the parameter of the route becomes: the principal."""
        return self.granted(request)

    def granted(self, request: Request) -> Principal:
        """The principal of a request."""
        principal: Principal | None = request.state.principal
        if principal is None:
            raise request.state.refusal or InvalidCredential()
        if self.scope is not None and self.scope not in principal.scopes:
            denials: Denials = request.app.state.denials
            what = f"{request.method} {request.scope['path']}"
            denials.note(principal, what=what, code=MissingScope.code, ip=request.state.client_ip)
            raise MissingScope(scope=self.scope)
        return principal


class NeedsTenant(Needs):
    """The same, for routes that need to know no more than the tenant's id."""

    def value(self, request: Request) -> str:
        """What the parameter of the route becomes: the tenant."""
        return self.granted(request).tenant


def needs_of(route: APIRoute) -> Needs | None:
    """What a route declares; None if it is open to everybody."""
    return next((needs for _, needs in _declared(route)), None)


def granted_by(route: APIRoute) -> tuple[str, Needs]:
    """The parameter by which a route that is open to nobody declares what it needs."""
    return next(_declared(route))


def _declared(route: APIRoute) -> Iterator[tuple[str, Needs]]:
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Needs):
            yield dependency.name or "", dependency.call


Reader = Annotated[str, Security(NeedsTenant(Scope.JOBS_READ), scopes=[Scope.JOBS_READ.value])]
Writer = Annotated[str, Security(NeedsTenant(Scope.JOBS_WRITE), scopes=[Scope.JOBS_WRITE.value])]
Watcher = Annotated[Principal, Security(Needs(Scope.JOBS_READ), scopes=[Scope.JOBS_READ.value])]
Anybody = Annotated[Principal, Security(Needs(None))]
KeyOwner = Annotated[Principal, Security(Needs(Scope.KEYS), scopes=[Scope.KEYS.value])]
Admin = Annotated[Principal, Security(Needs(Scope.ADMIN), scopes=[Scope.ADMIN.value])]
