"""One CA answering CFSSL's calls: the body of a request in, the body of its answer out.

Each method makes CFSSL's checks in CFSSL's order, so that a client sees the same first error. They
raise CustodianError; `signer.api` turns that into an envelope. No method waits for anything but the
holder of the key and, for RSA, the making of a requester's key.

Where CFSSL answers "no authentication provider" to a token for a profile that asks for none, the token
is checked by the keys of the file: a client that signs all it sends need not know which profiles ask.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from signer.cfssl import (
    NO_BUNDLER,
    NO_HOSTS,
    NewKeyRequest,
    SignRequest,
    is_authentic,
    parse_authenticated,
    parse_info_request,
    parse_inner_request,
    parse_new_cert,
    parse_new_key,
    parse_sign_request,
    success,
)
from signer.csr import Csr, make_csr, parse_csr
from signer.errors import bad_request
from signer.issue import (
    SERIAL_BYTES,
    Template,
    certificate_der,
    prepare,
    serial_number,
    templates,
    to_pem,
)
from signer.issuer import Issuer, parse_issuer
from signer.keys import KeySource
from signer.names import parse_hosts
from signer.newkey import csr_for, generate, key_pem
from signer.profile import DEFAULT, Policy, Profile

CONCURRENT_RSA_KEYS = 2  # making one takes a core for up to many seconds


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: what it may sign, its certificate, who holds its key, the time and random bytes."""

    policy: Policy
    issuer: Issuer
    templates: Mapping[str, Template]
    keys: KeySource
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]
    rsa_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_RSA_KEYS))

    @property
    def signs_openly(self) -> bool:
        """Tell whether a profile asks for no token; without one CFSSL has no /sign."""
        return any(not profile.auth_keys for profile in self.policy.profiles.values())

    @property
    def signs_authenticated(self) -> bool:
        return bool(self.policy.auth_keys)

    async def sign(self, body: bytes) -> bytes:
        request = parse_sign_request(body)
        if not request.certificate_request:
            raise bad_request("missing parameter 'certificate_request'")
        profile = self.policy.profile(request.profile)
        if profile.auth_keys:
            raise bad_request("authentication required")
        return await self._signed(profile, request)

    async def authsign(self, body: bytes) -> bytes:
        authenticated = parse_authenticated(body)
        request = parse_inner_request(authenticated)
        profile = self.policy.profile(request.profile)
        keys = profile.auth_keys or self.policy.auth_keys  # a token is checked also where none is asked for
        if not keys:
            raise bad_request("no authentication provider")
        if not is_authentic(keys, authenticated):
            raise bad_request("invalid token")
        if not request.certificate_request:
            raise bad_request("missing parameter 'certificate_request'")
        return await self._signed(profile, request)

    async def info(self, body: bytes) -> bytes:
        """Answer with the CA certificate; also where there is no default profile to describe."""
        name = parse_info_request(body)
        usages, expiry = [], ""
        if name or DEFAULT in self.policy.profiles:
            profile = self.policy.profile(name)
            usages, expiry = list(profile.usages), profile.expiry_text
        return success({"certificate": self.issuer.pem, "usages": usages, "expiry": expiry})

    async def newkey(self, body: bytes) -> bytes:
        key, request, _ = await self._new_key(parse_new_key(body))
        sums = {"certificate_request": _sums(request)}
        text = to_pem("CERTIFICATE REQUEST", request)
        return success({"private_key": key, "certificate_request": text, "sums": sums})

    async def newcert(self, body: bytes) -> bytes:
        """Make a key and its certificate, for profiles without a token only.

        CFSSL does it for every profile, so that its tokens protect nothing.
        """
        wanted = parse_new_cert(body)
        profile = self.policy.profile(wanted.profile)
        if profile.auth_keys:
            raise bad_request("authentication required; make a CSR and send it to authsign", 401)
        key, request, csr = await self._new_key(wanted.request)
        certificate = await self._issue(profile, csr)
        result = {
            "certificate": to_pem("CERTIFICATE", certificate),
            "certificate_request": to_pem("CERTIFICATE REQUEST", request),
            "private_key": key,
            "sums": {"certificate": _sums(certificate), "certificate_request": _sums(request)},
        }
        # As in CFSSL there is one warning at most, and a missing bundler wins.
        warning = NO_BUNDLER if wanted.bundle else "" if wanted.request.hosts else NO_HOSTS
        return success(result, *filter(None, [warning]))

    async def health(self, _: bytes) -> bytes:
        return success({"healthy": True})

    async def _signed(self, profile: Profile, request: SignRequest) -> bytes:
        csr = parse_csr(request.certificate_request)
        hosts = None if request.hosts is None else parse_hosts(request.hosts)
        certificate = await self._issue(profile, csr.override(hosts=hosts, subject=request.subject))
        warnings = [NO_BUNDLER] if request.bundle else []
        return success({"certificate": to_pem("CERTIFICATE", certificate)}, *warnings)

    async def _issue(self, profile: Profile, csr: Csr) -> bytes:
        serial = serial_number(self.random(SERIAL_BYTES))
        prepared = prepare(self.templates[profile.name], csr, now=self.clock(), serial=serial)
        return certificate_der(prepared, await self.keys.sign(prepared))

    async def _new_key(self, wanted: NewKeyRequest) -> tuple[str, bytes, Csr]:
        """Return the private key in PEM, the CSR in DER, and the CSR parsed."""
        if wanted.kind.algorithm == "rsa":
            async with self.rsa_slots:
                key = await asyncio.to_thread(generate, wanted.kind)
        else:
            key = generate(wanted.kind)
        request = make_csr(key, wanted.subject, wanted.hosts)
        return key_pem(key), request, csr_for(key, wanted.subject, wanted.hosts)


def make_authority(
    policy: Policy,
    ca_pem: str,
    keys: KeySource,
    *,
    clock: Callable[[], datetime],
    random: Callable[[int], bytes],
) -> Authority:
    """Put a CA together; `clock` returns UTC. Raises BadInput if the policy is beyond the CA."""
    issuer = parse_issuer(ca_pem)
    return Authority(policy, issuer, templates(issuer, policy), keys, clock, random)


def _sums(data: bytes) -> dict[str, str]:
    digests = {
        "md5": hashlib.md5(data, usedforsecurity=False),
        "sha-1": hashlib.sha1(data, usedforsecurity=False),
        "sha-256": hashlib.sha256(data),
    }
    return {name: digest.hexdigest().upper() for name, digest in digests.items()}
