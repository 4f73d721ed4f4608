"""Owners lend for some certificates and not for others."""

from typing import Any

import pytest
from ca_in_memory import key_of, make_csr_pem
from cryptography import x509
from running import wait_until
from signing import Site


def names(*wanted: str) -> dict[str, Any]:
    return {"subject": [("CN", wanted[0])], "sans": [x509.DNSName(name) for name in wanted]}


@pytest.mark.parametrize(
    ("constraints", "inside", "outside", "why"),
    [
        ({"profiles": ["client"]}, ("client", {}), ("server", {}), "profile 'server' is not one of client"),
        (
            {"names": ["*.example.com"]},
            ("server", names("a.example.com", "b.c.example.com")),
            ("server", names("a.example.com", "example.com.evil.test")),
            "name 'example.com.evil.test' is outside *.example.com",
        ),
        (
            {"max_validity": 2 * 86_400},
            ("client", {}),
            ("server", {}),
            "a validity of 2592000 s is longer than 172800 s",
        ),
        (
            {},
            ("server", {}),
            ("sub-ca", {"subject": [("CN", "Sub CA")], "sans": []}),
            "certificates of CAs are not lent for",
        ),
    ],
    ids=["profile", "names", "validity", "CA"],
)
def test_what_one_owner_did_not_lend_for_is_refused(
    site: Site, constraints: dict[str, Any], inside: Any, outside: Any, why: str
) -> None:
    site.world.lend("alice", uses=100)
    site.world.lend("bob", uses=100, constraints=constraints)
    for _ in range(2):
        refusal = site.signer.refusal(outside[0], **outside[1])
        assert refusal["quorum"]["obstacles"]["bob"] == why
        assert "bob" in refusal["quorum"]["any_of"]
        assert site.signer.issue(inside[0], **inside[1])


def test_a_ca_is_certified_where_owners_lent_for_that(site: Site) -> None:
    site.world.lend(uses=100, constraints={"ca": True})
    issued = site.signer.issue("sub-ca", subject=[("CN", "Sub CA")], sans=[])
    assert issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_delegations_for_different_things_serve_side_by_side(site: Site) -> None:
    site.world.lend("alice", "bob", uses=100, constraints={"profiles": ["server"]})
    site.world.lend("alice", "carol", uses=100, constraints={"profiles": ["client"]})
    for profile in ("server", "client", "server", "client"):
        assert site.signer.issue(profile)
    assert len(site.signer.keyholders()) == 2
    refused = site.signer.refusal("sub-ca", subject=[("CN", "Sub CA")], sans=[])
    assert refused["quorum"]["needed"] == 2


def test_a_lease_is_not_used_for_what_it_was_not_lent_for(site: Site) -> None:
    """The signer itself asks anew; the keyholder would refuse, which tests/test_keyholder.py shows."""
    site.world.lend(uses=20, constraints={"names": ["www.example.com"]})
    assert site.signer.issue()
    [keyholder] = site.signer.keyholders()
    assert site.signer.refusal(**names("other.example.com"))["quorum"]["needed"] == 2
    assert site.signer.keyholders() == [keyholder]
    assert site.signer.issue()


def test_nothing_is_spent_on_a_bad_request(site: Site) -> None:
    lent = site.world.lend(uses=10)
    csr = make_csr_pem(key_of("P-256"))
    for body in (b"{", b"[]", b'{"certificate_request": "x"}', {"certificate_request": csr[:-40]}, {}):
        answer = site.signer.call("POST", "/api/v1/cfssl/sign", body)
        assert 400 <= answer.status < 500, answer.body
    assert site.world.left(*lent) == [10, 10]
    wait_until(lambda: not site.signer.keyholders())
