"""Password hashes: argon2id. Older bcrypt hashes are verified and replaced at the next login."""

from dataclasses import dataclass

from passlib.context import CryptContext

from auth.domain.password import normalize_password
from contracts.auth.accounts import PASSWORD_MAX

MEMORY_KIB, PASSES, LANES = 19456, 2, 1  # OWASP's minimum; about 20 ms
BCRYPT_BYTES = 72  # bcrypt ignores the rest
ARGON2_PREFIX = "$argon2"


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Result of a check. ``upgraded`` is a new hash to store when the stored one is weaker than today's."""

    matches: bool
    upgraded: str | None = None


def create_argon2_context(memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> CryptContext:
    """Return the hasher for new passwords; it also verifies older argon2id parameters."""
    return CryptContext(
        schemes=["argon2", "bcrypt"],
        deprecated=["bcrypt"],
        argon2__type="ID",
        argon2__memory_cost=memory_kib,
        argon2__time_cost=passes,
        argon2__parallelism=LANES,
    )


class PasswordHasher:
    """Creates and verifies hashes. Both take tens of milliseconds of CPU: never call them on the event loop."""

    def __init__(self, context: CryptContext | None = None) -> None:
        self._context = context or create_argon2_context()
        self._dummy_hash = self._context.hash("dummy password")

    def hash(self, password: str) -> str:
        """Hash a password that the policy accepted."""
        password_hash: str = self._context.hash(normalize_password(password))
        return password_hash

    def verify(self, password: str, stored: str | None) -> PasswordCheck:
        """Verify a password with exactly one argon2 verification, so that timing reveals nothing about the account.

        Args:
            password: password as sent, of any length.
            stored: its hash; None for an unknown account, which never matches.
        """
        text = normalize_password(password)
        if len(text) > PASSWORD_MAX or stored is None:
            return self._verify_dummy(text)
        if stored.startswith(ARGON2_PREFIX):
            return self._verify_password(text, stored)
        self._verify_dummy(text)
        # A longer password never matches: bcrypt would verify only its beginning.
        if "\0" in text or len(text.encode()) > BCRYPT_BYTES:
            return PasswordCheck(matches=False)
        return self._verify_password(text, stored)

    def _verify_password(self, text: str, stored: str) -> PasswordCheck:
        matches, upgraded = self._context.verify_and_update(text, stored)
        return PasswordCheck(matches, upgraded)

    def _verify_dummy(self, text: str) -> PasswordCheck:
        self._context.verify(text[:PASSWORD_MAX], self._dummy_hash)
        return PasswordCheck(matches=False)
