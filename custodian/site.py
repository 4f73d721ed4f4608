"""Where the pages are: the origin that browsers name, and the domain that passkeys are made for.

An assertion of a passkey says both (WebAuthn level 3, section 7.2), and a change that a page makes says
the origin. So there is exactly one of each, and it is configuration, never what a caller says it is.
"""

import ipaddress
import re
from dataclasses import dataclass

from custodian.errors import BadInput

LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
ORIGIN = re.compile(rf"(https?)://({LABEL}(?:\.{LABEL})*)(?::([1-9][0-9]{{0,4}}))?")
USUAL_PORT = {"https": "443", "http": "80"}  # browsers leave it out of the origin


@dataclass(frozen=True, slots=True)
class Site:
    """`rp_id` is the domain of passkeys, WebAuthn's relying party; "" where they cannot be had."""

    origin: str
    rp_id: str


def parse_site(origin: str) -> Site:
    """Parse an origin as a browser writes it. Raises BadInput saying what is wrong with it."""
    match = ORIGIN.fullmatch(origin)
    if not match:
        raise BadInput("origin", "must be like https://custodian.example.com, without a path or a '/'")
    scheme, host, port = match.groups()
    if host.rpartition(".")[2].isdecimal():
        raise BadInput("origin", "must name a host: browsers have no passkeys for an address")
    if port and (int(port) > 65_535 or port == USUAL_PORT[scheme]):
        raise BadInput("origin", f"must leave out a port that is none or is {scheme}'s usual one")
    if scheme != "https" and host != "localhost" and not host.endswith(".localhost"):
        raise BadInput("origin", "must be https: browsers have passkeys and sessions only there")
    return Site(origin, host)


def default_site(host: str, port: int) -> Site:
    """Return the site where none is configured: `localhost` if only this machine reaches us."""
    place = "" if port == int(USUAL_PORT["https"]) else f":{port}"
    if ipaddress.ip_address(host).is_loopback:
        return Site(f"https://localhost{place}", "localhost")
    return Site(f"https://{f'[{host}]' if ':' in host else host}{place}", "")
