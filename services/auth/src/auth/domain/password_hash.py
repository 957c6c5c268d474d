"""Passwords as they are kept: argon2id. bcrypt hashes of older days are verified, and replaced at the next login."""

from dataclasses import dataclass

from passlib.context import CryptContext

from auth.domain.password import normalised
from contracts.auth.accounts import PASSWORD_MAX

MEMORY_KIB, PASSES, LANES = 19456, 2, 1  # OWASP's least; about 20 ms
BCRYPT_BYTES = 72  # bcrypt sees no more
ARGON2 = "$argon2"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. ``upgraded``: a hash to keep instead, where the one that matched is weaker than today's."""

    matches: bool
    upgraded: str | None = None


def argon2id(memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> CryptContext:
    """What hashes as we do today and knows what we did before."""
    return CryptContext(
        schemes=["argon2", "bcrypt"],
        deprecated=["bcrypt"],
        argon2__type="ID",
        argon2__memory_cost=memory_kib,
        argon2__time_cost=passes,
        argon2__parallelism=LANES,
    )


class PasswordHashes:
    """Makes and checks hashes. Both take tens of milliseconds of a core: never on the event loop."""

    def __init__(self, context: CryptContext | None = None) -> None:
        self._context = context or argon2id()
        self._nobodys = self._context.hash("the password of nobody")

    def make(self, password: str) -> str:
        """The hash of a password that the policy accepted."""
        made: str = self._context.hash(normalised(password))
        return made

    def check(self, password: str, stored: str | None) -> Checked:
        """Whether the password is the one that was hashed: always one argon2 verification, whoever asks for whom.

        Args:
            password: as it was sent, of any length.
            stored: its hash; None where there is none, which nothing matches.
        """
        text = normalised(password)
        if len(text) > PASSWORD_MAX or stored is None:
            return self._refuse(text)
        if stored.startswith(ARGON2):
            return self._verify(text, stored)
        self._refuse(text)
        # What bcrypt never saw cannot be verified: a longer password matches nothing rather than its beginning.
        if "\0" in text or len(text.encode()) > BCRYPT_BYTES:
            return Checked(matches=False)
        return self._verify(text, stored)

    def _verify(self, text: str, stored: str) -> Checked:
        matches, upgraded = self._context.verify_and_update(text, stored)
        return Checked(matches, upgraded)

    def _refuse(self, text: str) -> Checked:
        self._context.verify(text[:PASSWORD_MAX], self._nobodys)
        return Checked(matches=False)
