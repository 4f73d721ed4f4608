"""A keyholder signs what its owners lent the key for, and believes nothing that is said about it."""

import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from broker_lab import Broker, deal, frame, lease_of, running_broker
from ca_in_memory import key_of, make_csr_pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from tbs_samples import ISSUER, NOW, make_tbs, usage_of_a_ca

from custodian.errors import Forbidden
from custodian.keyholder import MAX_TBS
from custodian.tbs import NETSCAPE_TYPE, read_tbs
from custodian.terms import Constraints

TBS = make_tbs()
SIGNERS = {"ecdsa-p256": "P-256", "ecdsa-p384": "P-384", "rsa-2048": "RSA-2048", "ed25519": "Ed25519"}
CA = x509.BasicConstraints(ca=True, path_length=None)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


def verify(public: Any, signature: bytes, tbs: bytes) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, tbs, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, tbs, ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, tbs)


# -- what it reads


def refuses(tbs: bytes) -> None:
    with pytest.raises(Forbidden, match="the bytes to sign are not a certificate this key signs"):
        read_tbs(tbs, "server", NOW)


def test_the_bytes_say_what_they_are_for() -> None:
    wanted = read_tbs(
        make_tbs(names=("a.example", "b.example"), common_name="c.example", days=2), "server", NOW
    )
    assert wanted.issuer == ISSUER.public_bytes()
    assert wanted.purpose.names == ("c.example", "a.example", "b.example")
    assert (wanted.purpose.profile, wanted.purpose.validity) == ("server", 2 * 86_400)
    assert not wanted.purpose.ca
    assert wanted.digest is not None
    assert wanted.digest.name == "sha256"


MARKS = {
    "basic constraints": CA,
    "key usage": usage_of_a_ca(),
    "OCSP signing": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]),
    "any usage": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    "netscape's type": x509.UnrecognizedExtension(NETSCAPE_TYPE, bytes.fromhex("03020007")),
}


@pytest.mark.parametrize("extension", MARKS.values(), ids=MARKS)
def test_whatever_speaks_for_a_ca_is_one(extension: x509.ExtensionType) -> None:
    assert read_tbs(make_tbs(extensions=[extension]), "server", NOW).purpose.ca


@given(st.binary(max_size=300))
def test_junk_is_refused_and_nothing_else_happens(junk: bytes) -> None:
    refuses(junk)


@given(st.data())
def test_damage_is_refused_or_read_and_nothing_else_happens(data: st.DataObject) -> None:
    damaged = bytearray(TBS)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(TBS) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(TBS)))
    for tbs in (bytes(damaged), TBS[:cut], TBS[cut:] if cut else b"", bytes(damaged[:cut])):
        try:
            wanted = read_tbs(tbs, "server", NOW)
        except Forbidden:
            continue
        assert isinstance(wanted.purpose.names, tuple)


def test_every_byte_damaged_in_every_bit_is_refused_or_read() -> None:
    """Every single-bit change: nothing but Forbidden may leave the reader."""
    for at in range(len(TBS)):
        for bit in range(8):
            damaged = TBS[:at] + bytes([TBS[at] ^ 1 << bit]) + TBS[at + 1 :]
            try:
                read_tbs(damaged, "server", NOW)
            except Forbidden:
                continue


def test_a_whole_certificate_is_refused() -> None:
    refuses(deal().certificate.public_bytes(Encoding.DER))


def test_a_certificate_request_is_refused() -> None:
    csr = x509.load_pem_x509_csr(make_csr_pem(key_of("P-256")).encode())
    refuses(csr.tbs_certrequest_bytes)
    refuses(csr.public_bytes(Encoding.DER))


def test_a_revocation_list_is_refused() -> None:
    builder = x509.CertificateRevocationListBuilder(ISSUER, NOW, NOW + timedelta(days=1))
    number = x509.CRLNumber(1)
    crl = builder.add_extension(number, critical=False).sign(key_of("P-256"), hashes.SHA256())
    refuses(crl.tbs_certlist_bytes)


def test_two_certificates_in_a_row_are_refused() -> None:
    refuses(TBS + TBS)
    refuses(TBS + b"\0")


def test_pss_is_refused() -> None:
    key = key_of("RSA-2048")
    refuses(make_tbs(key, pss=padding.PSS(padding.MGF1(hashes.SHA256()), 32)))


def test_sha_1_is_refused() -> None:
    sha256, sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    head = 2 + (TBS[1] & 0x7F)  # its length takes more than one byte
    start, end = TBS.index(sha256) - 2, TBS.index(sha256) + len(sha256)

    def sequence(content: bytes) -> bytes:
        return b"\x30\x81" + bytes([len(content)]) + content

    assert sequence(TBS[head:]) == TBS, "put together as before it is the same"
    algorithm = b"\x30" + bytes([len(sha1)]) + sha1
    refuses(sequence(TBS[head:start] + algorithm + TBS[end:]))


def test_names_are_read_from_every_common_name() -> None:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("good.example", "evil.example")]
    builder = x509.CertificateBuilder().subject_name(x509.Name(attributes)).issuer_name(ISSUER)
    builder = builder.public_key(key_of("P-256").public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    tbs = builder.sign(key_of("P-256"), hashes.SHA256()).tbs_certificate_bytes
    assert read_tbs(tbs, "", NOW).purpose.names == ("good.example", "evil.example")


def test_a_certificate_for_later_is_refused() -> None:
    """The limit on validity bounds how long; without this one lease could issue for years ahead."""
    read_tbs(TBS, "", NOW - timedelta(minutes=5))
    with pytest.raises(Forbidden, match="begin in the future"):
        read_tbs(TBS, "", NOW - timedelta(minutes=6))


def test_who_a_subject_is_is_a_name() -> None:
    attributes = [
        x509.NameAttribute(NameOID.COMMON_NAME, "good.example"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "root@evil.example"),
        x509.NameAttribute(NameOID.USER_ID, "root"),
    ]
    names = read_tbs(make_tbs(subject=x509.Name(attributes), names=()), "", NOW).purpose.names
    assert names == ("good.example", "root@evil.example", "root")


def test_a_critical_extension_nobody_knows_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"), b"\x30\x00")
    read_tbs(make_tbs(extensions=[unknown]), "", NOW)
    refuses(make_tbs(extensions=[unknown], critical=True))


# -- what it signs


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_it_signs_with_every_kind_of_key(broker: Broker, algorithm: str) -> None:
    dealt = deal(algorithm)
    channel = broker.opened(lease_of(broker.lend(dealt=dealt), dealt, uses=1))
    tbs = make_tbs(key_of(SIGNERS[algorithm], "throw-away issuer"))
    fine, signature = channel.ask(tbs)
    assert fine, signature
    verify(dealt.certificate.public_key(), signature, tbs)
    broker.hear()


def test_it_signs_by_no_algorithm_that_is_not_its_keys(broker: Broker) -> None:
    lease = lease_of(broker.lend(), uses=1)
    channel = broker.opened(lease)
    for kind in ("RSA-2048", "Ed25519"):
        fine, why = channel.ask(make_tbs(key_of(kind, "throw-away issuer")))
        assert (fine, why) == (0, b"the certificate names an algorithm that is not this key's")
    end(broker, lease)


def test_it_signs_for_its_own_issuer_only(broker: Broker) -> None:
    lease = lease_of(broker.lend(), uses=1)
    channel = broker.opened(lease)
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Another CA")])
    fine, why = channel.ask(make_tbs(issuer=other))
    assert (fine, why) == (0, b"the certificate names another issuer than this key's")
    end(broker, lease)


def test_a_refusal_spends_no_use(broker: Broker) -> None:
    channel = broker.opened(lease_of(broker.lend(), uses=1))
    for _ in range(5):
        assert not channel.ask(b"junk")[0]
    assert channel.ask(TBS)[0]
    assert channel.ends()
    broker.hear()


def test_no_damage_ends_it(broker: Broker) -> None:
    """Shut in, it has no way to load what the parser might want for its complaints."""
    lease = lease_of(broker.lend(uses=10_000), uses=10_000)
    channel = broker.opened(lease)
    damaged = [
        TBS[:at] + bytes([TBS[at] ^ mask]) + TBS[at + 1 :] for at in range(len(TBS)) for mask in (1, 128)
    ]
    for tbs in (*damaged, TBS[:-1], b""):
        channel.ask(tbs)
    assert channel.ask(TBS)[0]
    end(broker, lease)


@pytest.mark.parametrize(
    ("constraints", "tbs", "profile", "why"),
    [
        (Constraints(), make_tbs(extensions=[CA]), b"server", "certificates of CAs are not lent for"),
        (Constraints(), make_tbs(extensions=[usage_of_a_ca()]), b"server", "certificates of CAs"),
        (Constraints(profiles=("client",)), TBS, b"server", "profile 'server' is not one of client"),
        (Constraints(names=("*.example.org",)), TBS, b"server", "'www.example.com' is outside *.example.org"),
        (
            Constraints(names=("*.example.com",)),
            make_tbs(names=("www.example.com", "evil.test")),
            b"server",
            "'evil.test' is outside",
        ),
        (
            Constraints(names=("*.example.com",)),
            make_tbs(common_name="evil.test"),
            b"server",
            "'evil.test' is outside",
        ),
        (Constraints(max_validity=3600), TBS, b"server", "a validity of 86400 s is longer than 3600 s"),
    ],
)
def test_it_holds_every_owners_constraints_against_the_bytes(
    broker: Broker, constraints: Constraints, tbs: bytes, profile: bytes, why: str
) -> None:
    lent = [
        *broker.lend("alice", constraints=Constraints(ca=True)),
        *broker.lend("bob", constraints=constraints),
    ]
    lease = lease_of(lent, uses=1)
    channel = broker.opened(lease)
    fine, said = channel.ask(tbs, profile)
    assert not fine
    assert said.startswith(b"the owners did not lend the key for this: ")
    assert why in said.decode()
    end(broker, lease)


def test_it_signs_what_every_owner_lent_it_for(broker: Broker) -> None:
    constraints = Constraints(("server",), ("*.example.com",), 86_400, ca=True)
    channel = broker.opened(lease_of(broker.lend(constraints=constraints), uses=1))
    assert channel.ask(make_tbs(extensions=[CA]))[0]
    broker.hear()


# -- how it is asked


def end(broker: Broker, lease: dict[str, Any]) -> None:
    broker.send({"do": "kill", "lease": lease["id"]})
    assert broker.hear()[0]["gone"] == lease["id"]


def test_requests_may_arrive_in_any_pieces(broker: Broker) -> None:
    channel = broker.opened(lease_of(broker.lend(uses=12), uses=12))
    requests = b"".join(frame(TBS, number=number) for number in range(12))
    rng = random.Random(12)  # noqa: S311 - any pieces will do
    sent = 0
    while sent < len(requests):
        size = rng.choice((1, 2, 3, 5, 100, 700, 2000))
        channel.socket.sendall(requests[sent : sent + size])
        sent += size
        time.sleep(0.001)
    for number in range(12):
        fine, signature = channel.answer(number)
        assert fine
        verify(deal().certificate.public_key(), signature, TBS)
    assert channel.ends()
    broker.hear()


def test_what_is_asked_beyond_the_last_use_is_refused(broker: Broker) -> None:
    lease = lease_of(broker.lend(), uses=2)
    channel = broker.opened(lease)
    channel.socket.sendall(b"".join(frame(TBS, number=number) for number in range(4)))
    assert [channel.answer(number)[0] for number in range(2)] == [1, 1]
    for number in (2, 3):
        assert channel.answer(number) == (0, b"every use of this lease is spent")
    assert channel.ends()
    assert broker.hear()[0]["why"] == "used up"


@pytest.mark.parametrize(
    "junk",
    [
        struct.pack(">I", MAX_TBS + 1) + b"x",
        b"\xff" * 100,
        struct.pack(">I", 0),
        struct.pack(">I", 3) + b"abc",
        struct.pack(">IIB", 6, 1, 1) + b"\xff",
    ],
    ids=["oversized", "all ones", "empty", "too short", "a profile that is no text"],
)
def test_junk_ends_it_and_the_key_with_it(broker: Broker, junk: bytes) -> None:
    lease = lease_of(broker.lend())
    channel = broker.opened(lease)
    channel.socket.sendall(junk)
    assert channel.ends()
    assert broker.hear()[0] == {"gone": lease["id"], "why": "ended", "left": 0}


def test_a_profile_longer_than_the_request_reads_nothing_else(broker: Broker) -> None:
    lease = lease_of(broker.lend())
    channel = broker.opened(lease)
    channel.socket.sendall(struct.pack(">IIB", 5, 1, 255))
    assert channel.answer(1)[0] == 0
    end(broker, lease)


def test_the_end_of_its_channel_is_the_end_of_it(broker: Broker) -> None:
    lease = lease_of(broker.lend())
    channel = broker.opened(lease)
    channel.socket.shutdown(socket.SHUT_WR)
    assert channel.ends()
    assert broker.hear()[0]["gone"] == lease["id"]


def test_a_client_that_does_not_read_cannot_keep_it_alive(broker: Broker) -> None:
    """Its answers fill the socket and it waits; the kernel's timer ends it all the same."""
    lease = lease_of(broker.lend(uses=100_000), uses=100_000, end=time.time() + 1)
    answer, [channel] = broker.open(lease)
    channel.socket.setblocking(False)
    requests = frame(b"junk") * 1000
    try:
        while True:
            channel.socket.send(requests)
    except OSError:
        pass
    assert broker.hear()[0] == {"gone": lease["id"], "why": "ended", "left": 0}
    assert not os.path.exists(f"/proc/{answer['pid']}")  # noqa: PTH110
