"""Field types and the empty reply shared by auth's contracts."""

from typing import Annotated

from pydantic import Field, PlainSerializer, SecretStr

from contracts.wire.model import TolerantModel

Secret = Annotated[
    SecretStr,
    Field(min_length=1, max_length=1024),
    PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str, when_used="json"),
]


Ip = Annotated[str, Field(max_length=45)]


UserAgent = Annotated[str, Field(max_length=200, description="of the User-Agent header, printable ASCII")]


KeyId = Annotated[str, Field(min_length=1, max_length=64)]


class Done(TolerantModel):
    """The request succeeded, or had already succeeded before."""
