import pytest

from authn.client_address import (
    UNKNOWN_ADDRESS,
    ClientAddressResolver,
    find_network,
    find_rate_limit_address,
    find_rate_limit_group,
    parse_networks,
)

BEHIND = ClientAddressResolver(parse_networks("10.0.0.7, 192.168.0.0/16,2001:db8:ffff::/48"))
DIRECT = ClientAddressResolver(())


@pytest.mark.requirement("B-8")
@pytest.mark.parametrize("forwarded", [[], ["1.2.3.4"], ["127.0.0.1"], ["nonsense"], [""], ["1.2.3.4", "5.6.7.8"]])
def test_forwarded_address_is_ignored_without_trusted_proxies(forwarded: list[str]) -> None:
    assert DIRECT.resolve("203.0.113.9", forwarded) == "203.0.113.9"
    assert BEHIND.resolve("203.0.113.9", forwarded) == "203.0.113.9"


@pytest.mark.requirement("S-59")
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], "10.0.0.7"),
        (["198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, 192.168.3.4"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1, 192.168.3.4,  192.168.9.9 "], "198.51.100.1"),
        (["192.168.3.4"], "192.168.3.4"),
        (["1.1.1.1, nonsense, 192.168.3.4"], "192.168.3.4"),
        (["1.1.1.1, nonsense"], "10.0.0.7"),
        (["1.1.1.1,"], "10.0.0.7"),
        (["2001:DB8:0:0::1"], "2001:db8::1"),
        (["1.1.1.1, ::ffff:198.51.100.1"], "198.51.100.1"),
        (["2001:db8::1, 2001:db8:ffff::5"], "2001:db8::1"),
        (["198.51.100.1:4711"], "10.0.0.7"),
    ],
)
def test_client_is_the_rightmost_untrusted_address(forwarded: list[str], client: str) -> None:
    assert BEHIND.resolve("10.0.0.7", forwarded) == client


def test_peer_without_an_address_has_no_client_address() -> None:
    assert BEHIND.resolve(None, ["1.1.1.1"]) == BEHIND.resolve("/run/socket", ["1.1.1.1"]) == UNKNOWN_ADDRESS


def test_ipv4_mapped_peer_is_treated_as_ipv4() -> None:
    assert BEHIND.resolve("::ffff:10.0.0.7", ["198.51.100.1"]) == "198.51.100.1"
    assert DIRECT.resolve("::ffff:203.0.113.9", []) == "203.0.113.9"


@pytest.mark.requirement("B-23")
def test_ipv6_is_counted_per_64_prefix() -> None:
    assert (
        find_rate_limit_group("2001:db8:1:2::1") == find_rate_limit_group("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    )
    assert find_rate_limit_group("2001:db8:1:3::1") != find_rate_limit_group("2001:db8:1:2::1")
    assert find_rate_limit_group("203.0.113.9") != find_rate_limit_group("203.0.113.10")


@pytest.mark.requirement("S-59")
@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy", "10.0.0.256"])
def test_invalid_trusted_proxy_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        parse_networks(text)


@pytest.mark.requirement("S-59")
def test_text_after_a_forwarded_address_is_not_echoed() -> None:
    assert BEHIND.resolve("10.0.0.7", ["fe80::1%eth0"]) == DIRECT.resolve("fe80::1%<any>", []) == "fe80::1"
    assert BEHIND.resolve("10.0.0.7", ["1" * 10_000]) == "10.0.0.7"


@pytest.mark.requirement("B-23")
def test_connections_and_requests_are_counted_by_the_same_address() -> None:
    assert find_rate_limit_address("2001:db8:1:2::1") == find_rate_limit_address("2001:db8:1:2:ffff::9")
    assert (
        find_rate_limit_address("::ffff:203.0.113.9")
        == find_rate_limit_address("203.0.113.9")
        != find_rate_limit_address("203.0.113.10")
    )
    assert find_rate_limit_address("/run/socket") == UNKNOWN_ADDRESS


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        (UNKNOWN_ADDRESS, f"{UNKNOWN_ADDRESS}/24"),
        ("2001:db8:1:ffff::1", "2001:db8:1::/48"),
        ("::1", "::/48"),
    ],
)
def test_network_is_an_ipv4_24_or_ipv6_48_prefix(client: str, network: str) -> None:
    assert find_network(client) == network
