"""Access tokens: JWTs (RFC 9068) with everything that services need to verify them without asking auth."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import jwt

from auth.domain.signing_key import SigningKey
from auth.domain.user import User
from contracts.auth.credentials import ALGORITHM, AUDIENCE, ISSUER, TOKEN_TYPE


def sign_access_token(key: SigningKey, user: User, session_id: UUID, *, now: datetime, life: timedelta) -> str:
    """Return a signed token for this user and session, valid from ``now`` for ``life``."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user.id),
        "sid": str(session_id),
        "jti": uuid4().hex,
        "iat": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
        "username": user.username,
        "tier": user.tier.value,
        "role": user.role.value,
        "rpm": user.limits.requests_per_minute,
        "own": user.has_own_rate,
        "ver": user.version,
    }
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": key.kid})
