"""From which network a request came: so much of an address as others need to count by, and never all of it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_IPV4_BITS = 24
# What a household or a machine is given: whoever has one has all addresses in it.
_IPV6_BITS = 64


def network_of(peer: tuple[str, int] | None) -> str:
    """Return the /24 or /64 of a peer, for example "203.0.113.0/24" or "2001:db8::/64".

    Args:
        peer: Address and port as ASGI has them. uvicorn puts the address of X-Forwarded-For there where the peer is a
            proxy of FORWARDED_ALLOW_IPS, by default 127.0.0.1. None, and what is no address of IP, gives "".
    """
    try:
        address = ip_address(peer[0] if peer is not None else "")
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return str(IPv4Network((int(address), _IPV4_BITS), strict=False))
    return str(IPv6Network((int(address), _IPV6_BITS), strict=False))
