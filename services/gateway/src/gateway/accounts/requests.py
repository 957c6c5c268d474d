"""Request bodies for accounts, sessions and keys."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.auth.accounts import Role
from contracts.auth.credentials import Scope
from contracts.auth.fields import Secret
from contracts.auth.keys import KeyName
from contracts.auth.tiers import Cap, Days, LargeCap, LimitsPatch, Tier
from contracts.graph_policy.policy import GraphPolicy
from gateway.edge.request_model import RequestBody
from gateway.edge.timestamps import Timestamp

TierField = Annotated[Tier, Field(strict=False)]
RoleField = Annotated[Role, Field(strict=False)]
ScopeField = Annotated[Scope, Field(strict=False)]
GraphPolicyField = Annotated[GraphPolicy, Field(strict=False)]


class RegisterRequest(RequestBody):
    """A new account. ``invite``: the token of an invite, required where registration needs one."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    email: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    invite: Secret | None = None


class Credentials(RequestBody):
    """Username or e-mail address, and password."""

    username: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret


class LoginRequest(Credentials):
    """Username or e-mail address, and password.

    ``session``: where the refresh token goes. With ``cookie``, which only pages of this server may use, it is in a
    cookie that scripts cannot read and not in the response.
    """

    session: Literal["token", "cookie"] = "token"


class LoginLinkRequest(RequestBody):
    """The token of a login link. ``session``: where the refresh token goes, as for a login."""

    token: Secret
    session: Literal["token", "cookie"] = "token"


class LoginForm(Credentials):
    """An OAuth2 password grant. ``scope``, ``client_id`` and ``client_secret`` are accepted and ignored."""

    grant_type: Literal["password"] = "password"
    scope: str | None = None
    client_id: str | None = None
    client_secret: Secret | Literal[""] | None = None


class RefreshRequest(RequestBody):
    """A refresh token. It works once."""

    refresh_token: Secret


class PasswordRequest(RequestBody):
    """The current password and the new one."""

    current_password: Secret
    new_password: Secret


class EraseRequest(RequestBody):
    """The password, as confirmation."""

    password: Secret


class KeyRequest(RequestBody):
    """A new key. It expires at ``expires_at``, or after the default lifetime of a key."""

    name: KeyName
    scopes: Annotated[list[ScopeField], Field(min_length=1, max_length=len(Scope))] = [  # noqa: RUF012 - pydantic copies it
        Scope.JOBS_READ,
        Scope.JOBS_WRITE,
    ]
    expires_at: Timestamp | None = None


class LimitsRequest(RequestBody):
    """Limits by name, any of them; null means unlimited.

    ``graph_…`` limit one workflow, ``run_seconds`` one attempt, ``start_seconds`` the wait for the first attempt.
    """

    images_per_day: Cap | None = None
    max_running: Cap | None = None
    queue_cap: Cap | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    result_days: Days | None = None
    upload_days: Days | None = None
    graph_policy: GraphPolicyField = GraphPolicy.STRICT
    graph_nodes: Annotated[int, Field(ge=1, le=2000)] | None = None
    graph_text_bytes: LargeCap | None = None
    graph_pixels: LargeCap | None = None
    graph_steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    graph_pixel_steps: LargeCap | None = None
    run_seconds: Annotated[float, Field(ge=1, le=7 * 86400)] | None = None
    gpu_seconds_per_day: Annotated[float, Field(ge=0, le=1e9)] | None = None
    result_bytes: LargeCap | None = None
    upload_bytes: LargeCap | None = None
    start_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] | None = None

    def to_patch(self) -> LimitsPatch:
        """Return the limits that the request sets."""
        return LimitsPatch.model_validate(self.model_dump(exclude_unset=True))


class Patch(RequestBody):
    """A partial update: at least one field, and no field is null."""

    @model_validator(mode="after")
    def _require_a_field(self) -> Self:
        if not self.model_fields_set or any(getattr(self, name) is None for name in self.model_fields_set):
            raise PydanticCustomError("patch_empty", "Send at least one field. No field can be null.")
        return self


class UserPatch(Patch):
    """Changes to a user. ``limits`` replaces all individual limits; {} removes them.

    ``shares_quota``: false gives the user a daily image quota of its own.
    """

    tier: TierField | None = None
    role: RoleField | None = None
    is_active: bool | None = None
    limits: LimitsRequest | None = None
    shares_quota: Literal[False] | None = None


def _require_a_limit(limits: LimitsRequest) -> LimitsRequest:
    if not limits.model_fields_set:
        raise PydanticCustomError("patch_empty", "Send at least one limit.")
    return limits


class TierPatch(Patch):
    """Changes to a tier. Omitted limits stay unchanged."""

    limits: Annotated[LimitsRequest, AfterValidator(_require_a_limit)]
