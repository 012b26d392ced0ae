"""Which addresses pictures may be fetched from: the internet's, and no others, however they are written."""

from __future__ import annotations

import pytest

from hostler.gateway.asking.elsewhere import is_public


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::",  # this machine
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fc00:1::2",  # somebody's own network
        "169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",  # the link, and what tells credentials of clouds
        "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "2001:db8::1",
        "fec0::1", "4000::1", "192.0.0.192", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_all_others(address: str) -> None:
    assert not is_public(address)


def test_an_address_inside_another_counts() -> None:
    assert is_public("64:ff9b::101:101")
    assert is_public("::ffff:1.1.1.1")
