"""The scope that a route requires. A route declares it by the type of one parameter, such as ``Reader``.

``gateway.edge.admission`` authenticates each request before it is routed; this module only checks the result.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer

from contracts.auth.credentials import InvalidCredential, MissingScope, Principal, Scope

_SCOPES = {
    Scope.JOBS_READ: "Read jobs, results, models and node classes.",
    Scope.JOBS_WRITE: "Submit, cancel and purge jobs; change uploads and workflows.",
    Scope.KEYS: "Create, list and revoke keys.",
    Scope.ADMIN: "Administer users, nodes and jobs of all users.",
}

# Only for the OpenAPI document: ``gateway.edge.admission`` reads and checks the credential.
_KEY = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False, description="An API key.")
_BEARER = HTTPBearer(scheme_name="Bearer", auto_error=False, description="An access token, or an API key.")
_PASSWORD = OAuth2PasswordBearer(
    tokenUrl="/api/v1/auth/login",
    refreshUrl="/api/v1/auth/refresh",
    scheme_name="Password",
    scopes={scope.value: description for scope, description in _SCOPES.items()},
    auto_error=False,
    description="Username and password for an access token.",
)


class RequiresScope:
    """A dependency that checks the credential of the request and gives the route its principal.

    Args:
        scope: the scope that the credential must have; None accepts any valid credential.

    Raises:
        BadCredential: the credential is missing or invalid.
        Unavailable: the credential cannot be checked now.
        MissingScope: the credential lacks the scope.
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
        return self.get_parameter_value(request)

    def get_parameter_value(self, request: Request) -> Any:
        """Return the value of the route's parameter: the principal."""
        return self.authorize(request)

    def authorize(self, request: Request) -> Principal:
        """Check the credential of the request and return its principal."""
        principal: Principal | None = request.state.principal
        if principal is None:
            raise request.state.refusal or InvalidCredential()
        if self.scope is not None and self.scope not in principal.scopes:
            request.state.denied = MissingScope.code
            raise MissingScope(scope=self.scope)
        return principal


class RequiresTenantScope(RequiresScope):
    """Like ``RequiresScope``, but gives the route only the tenant's id."""

    def get_parameter_value(self, request: Request) -> str:
        """Return the value of the route's parameter: the tenant's id."""
        return self.authorize(request).tenant


def find_requirement(route: APIRoute) -> RequiresScope | None:
    """Return what the route requires; None if it requires no credential."""
    return next((requirement for _, requirement in _iterate_declared_scopes(route)), None)


def find_credential_parameter(route: APIRoute) -> tuple[str, RequiresScope]:
    """Return the name and dependency of the parameter by which a route declares what it requires."""
    return next(_iterate_declared_scopes(route))


def _iterate_declared_scopes(route: APIRoute) -> Iterator[tuple[str, RequiresScope]]:
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, RequiresScope):
            yield dependency.name or "", dependency.call


Reader = Annotated[str, Security(RequiresTenantScope(Scope.JOBS_READ), scopes=[Scope.JOBS_READ.value])]
Writer = Annotated[str, Security(RequiresTenantScope(Scope.JOBS_WRITE), scopes=[Scope.JOBS_WRITE.value])]
ReaderPrincipal = Annotated[Principal, Security(RequiresScope(Scope.JOBS_READ), scopes=[Scope.JOBS_READ.value])]
AnyPrincipal = Annotated[Principal, Security(RequiresScope(None))]
KeyOwner = Annotated[Principal, Security(RequiresScope(Scope.KEYS), scopes=[Scope.KEYS.value])]
Admin = Annotated[Principal, Security(RequiresScope(Scope.ADMIN), scopes=[Scope.ADMIN.value])]
