"""One walk through a keyholder's whole path with a throw-away key.

Whatever is loaded or cached on first use is there afterwards, when no file can be opened any more.
"""

import secrets
from datetime import UTC, datetime, timedelta

from cryptography.x509 import load_pem_x509_certificate

from custodian.envelope import parse_envelope
from custodian.keyholder import Lease, open_lease
from custodian.policy import Policy
from custodian.sealing import PrivateKey
from custodian.terms import Constraints, Terms, parse_terms
from signer.ceremony import Plan, make_here


def rehearse() -> None:
    """Make, seal, lend, open and sign once."""
    now = datetime.now(UTC).replace(microsecond=0)
    owners = {name: PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32)) for name in ("a", "b")}
    recipient = PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32))
    plan = Plan(
        name="rehearsal",
        algorithm="ecdsa-p256",
        common_name="Rehearsal",
        organization="",
        not_before=now,
        not_after=now + timedelta(hours=1),
        path_length=None,
        policy=Policy(2, ("a", "b")),
        owners={name: key.public for name, key in owners.items()},
        signers={},
    )
    made = make_here(plan)
    envelope = parse_envelope(made.envelope)
    shares = []
    for name, key in owners.items():
        share = key.open(envelope.holdings[name].sealed, envelope.facts.share_info(name))
        terms = Terms(
            key="rehearsal",
            key_id=envelope.facts.id,
            owner=name,
            signer="rehearsal",
            recipients=(recipient.public,),
            uses=1,
            start=now,
            end=now + timedelta(hours=1),
            constraints=Constraints(ca=True),
            request="",
            nonce=secrets.token_hex(16),
        )
        shares.append((parse_terms(bytes(terms)), recipient.public.seal(share, terms.share_info)))
    lease = Lease("rehearsal", 1, plan.not_after.timestamp(), envelope, tuple(shares))
    certificate = load_pem_x509_certificate(made.certificate.encode())
    open_lease(lease, recipient).sign(certificate.tbs_certificate_bytes, "rehearsal")
