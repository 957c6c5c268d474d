"""URLs of NATS servers as operators write them."""

import pytest

from chassis.messaging.servers import NatsServers, parse_servers


@pytest.mark.requirement("O-6")
@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nats://a", NatsServers(("nats://a:4222",), None, None, requires_tls=False)),
        ("nats://a:1, nats://b:2", NatsServers(("nats://a:1", "nats://b:2"), None, None, requires_tls=False)),
        ("tls://a,nats://[::1]:2/", NatsServers(("tls://a:4222", "nats://[::1]:2"), None, None, requires_tls=True)),
        ("nats://u:p%40%3A%2F%23%25@a", NatsServers(("nats://a:4222",), "u", "p@:/#%", requires_tls=False)),
        (
            "nats://t%20k@a,nats://t%20k@b",
            NatsServers(("nats://a:4222", "nats://b:4222"), "t k", None, requires_tls=False),
        ),
    ],
)
def test_servers_are_read_from_urls(text: str, servers: NatsServers) -> None:
    assert parse_servers(text) == servers


@pytest.mark.parametrize(
    "text",
    [
        "", "nats://a,", "a:4222", "http://a", "nats://", "nats://:4222", "nats://a:port", "nats://a:99999",
        "nats://a/x", "nats://u:s3cret#@a", "nats://u:s3cret/@a", "nats://u:s3cret@a,nats://b",
        "nats://u:s3cret@a,nats://u:s3cret2@b",
    ],
)  # fmt: skip
def test_invalid_urls_are_refused_without_showing_their_password(text: str) -> None:
    with pytest.raises(ValueError, match="NATS URL") as refused:
        parse_servers(text)
    assert "s3cret" not in str(refused.value)
