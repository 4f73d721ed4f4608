"""SSH signatures: what ssh-keygen makes counts, and only for its key, its purpose and its message."""

import base64
import hashlib

import pytest
from authenticators import SshKeygen, SshToken, armour, mpint, needs_ssh_keygen, signature_blob, ssh
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custodian.encoding import encode_base64
from custodian.errors import Forbidden, FormatError
from custodian.evidence import NAMESPACE
from custodian.sshsig import check_ssh_signature, parse_ssh_key

MESSAGE = b"what alice agrees to\n"
KINDS = [
    ("ed25519",),
    ("ecdsa", "-b", "256"),
    ("ecdsa", "-b", "384"),
    ("ecdsa", "-b", "521"),
    ("rsa", "-b", "2048"),
]
TOKENS = {"ed25519": Ed25519PrivateKey.generate, "ecdsa": lambda: generate_ec(SECP256R1())}
KEY = Ed25519PrivateKey.generate()
BLOB = ssh(b"ssh-ed25519", KEY.public_key().public_bytes_raw())
PUBLIC = f"ssh-ed25519 {encode_base64(BLOB)} alice@laptop"


def said(namespace=NAMESPACE, hash_name=b"sha512", message=MESSAGE):
    digest = hashlib.new(hash_name.decode(), message).digest()
    return b"SSHSIG" + ssh(namespace, b"", hash_name, digest)


SIGNATURE = ssh(b"ssh-ed25519", KEY.sign(said()))


def check(signature, public=PUBLIC, message=MESSAGE, namespace=NAMESPACE):
    check_ssh_signature(signature, parse_ssh_key(public, "public"), message, namespace)


def refused(signature, kind=Forbidden, **where):
    with pytest.raises(kind) as error:
        check(signature, **where)
    return error.value.detail


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def keygen(request, tmp_path_factory):
    return SshKeygen(tmp_path_factory.mktemp("ssh"), *request.param)


@needs_ssh_keygen
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_is_believed_for_its_key_purpose_and_message_only(keygen, hash_name):
    signature = keygen.sign(MESSAGE, NAMESPACE.decode(), "-O", f"hashalg={hash_name}")
    check(signature, keygen.public)
    assert keygen.verifies(MESSAGE, signature)
    assert refused(signature) == "another SSH key signed this"
    assert "did not sign" in refused(signature, public=keygen.public, message=MESSAGE + b"x")
    assert "another purpose" in refused(signature, public=keygen.public, namespace=b"file")


@needs_ssh_keygen
def test_what_we_believe_of_a_signature_made_here_ssh_keygen_believes_too(tmp_path):
    keygen = SshKeygen(tmp_path, "ed25519")
    keygen.path.with_suffix(".pub").write_text(PUBLIC + "\n")
    signature = armour(signature_blob(BLOB, NAMESPACE, b"sha512", SIGNATURE))
    check(signature)
    assert keygen.verifies(MESSAGE, signature)
    assert not keygen.verifies(MESSAGE + b"x", signature)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", TOKENS)
def test_what_a_token_signs_ssh_keygen_believes_too(tmp_path, kind):
    token, keygen = SshToken(TOKENS[kind]()), SshKeygen(tmp_path, "ed25519")
    keygen.path.with_suffix(".pub").write_text(token.public + "\n")
    assert keygen.verifies(MESSAGE, token.sign(MESSAGE))
    assert keygen.verifies(MESSAGE, token.sign(MESSAGE, flags=0))  # we do not


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_must_be_touched(kind):
    token = SshToken(TOKENS[kind]())
    check(token.sign(MESSAGE), token.public)
    check(token.sign(MESSAGE, flags=5), token.public)
    assert "nobody touched" in refused(token.sign(MESSAGE, flags=0), public=token.public)
    assert "nobody touched" in refused(token.sign(MESSAGE, flags=4), public=token.public)
    assert "did not sign" in refused(token.sign(b"another"), public=token.public)
    assert "another SSH key" in refused(SshToken(TOKENS[kind]()).sign(MESSAGE), public=token.public)


def test_a_token_signs_for_its_application():
    """The same key under another application is another key."""
    key = Ed25519PrivateKey.generate()
    signature = SshToken(key, "ssh:other").sign(MESSAGE)
    assert "another SSH key" in refused(signature, public=SshToken(key).public)


def test_a_key_in_a_file_does_not_pass_for_one_on_a_token():
    token = SshToken(KEY)
    plain = ssh(b"ssh-ed25519", KEY.sign(said()))
    blob = signature_blob(token.blob, NAMESPACE, b"sha512", plain + b"\x01" + bytes(4))
    refused(armour(blob), FormatError, public=token.public)


@pytest.mark.parametrize(
    "signature",
    [
        ssh(b"ssh-rsa", KEY.sign(said())),
        ssh(b"sk-ssh-ed25519@openssh.com", KEY.sign(said())),
        SIGNATURE + b"\x01" + bytes(4),
        SIGNATURE[:-1],
        b"",
    ],
)
def test_a_signature_that_is_not_of_the_kind_of_its_key_is_refused(signature):
    refused(armour(signature_blob(BLOB, NAMESPACE, b"sha512", signature)), FormatError)


def test_an_ecdsa_signature_has_one_spelling():
    token = SshToken(generate_ec(SECP256R1()))
    blob = base64.b64decode(b"".join(token.sign(MESSAGE).split(b"\n")[1:-2]))
    check(armour(blob), token.public)
    head = signature_blob(token.blob, NAMESPACE, b"sha512", b"")[:-4]
    kind, raw = token.kind, blob[len(head) + 4 :][4 + len(token.kind) :]
    size = int.from_bytes(raw[:4])
    longer = ssh(kind, raw[4 : 4 + size] + b"x") + raw[4 + size :]
    refused(armour(head + ssh(longer)), FormatError, public=token.public)


def test_every_bit_counts():
    blob = signature_blob(BLOB, NAMESPACE, b"sha512", SIGNATURE)
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Forbidden, FormatError)):
            check(armour(bytes(flipped)))
    for size in range(len(blob)):
        with pytest.raises((Forbidden, FormatError)):
            check(armour(blob[:size]))


@pytest.mark.parametrize("hash_name", [b"sha1", b"md5", b"sha384", b""])
def test_only_the_hashes_of_the_protocol_count(hash_name):
    refused(armour(signature_blob(BLOB, NAMESPACE, hash_name, SIGNATURE)), FormatError)


GOOD = armour(signature_blob(BLOB, NAMESPACE, b"sha512", SIGNATURE))


@pytest.mark.parametrize(
    "armoured",
    [
        b"",
        GOOD.replace(b"SSH", b"PGP"),
        GOOD.replace(b"\n", b"\r\n"),
        b" " + GOOD,
        GOOD + b"\n",
        GOOD + GOOD,
        GOOD.replace(b"U1NI", b"U1N!"),
        b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\n=\n-----END SSH SIGNATURE-----\n",
        GOOD.replace(b"\n", b"\n" + b"A" * 76 + b"\n" * 1 + (b"A" * 76 + b"\n") * 120, 1),
        b"\xff" + GOOD,
    ],
)
def test_other_text_is_not_a_signature(armoured):
    refused(armoured, FormatError)


def test_rsa_with_sha_1_is_refused(tmp_path):
    key = generate_rsa(65537, 2048)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(line.split()[1])
    signature = armour(signature_blob(blob, NAMESPACE, b"sha512", ssh(b"ssh-rsa", bytes(256))))
    assert "neither rsa-sha2-256 nor -512" in refused(signature, FormatError, public=line)


# --- public keys


def rsa_line(bits, exponent=65537):
    number = generate_rsa(65537, bits).public_key().public_numbers().n
    return "ssh-rsa " + encode_base64(ssh(b"ssh-rsa", mpint(exponent), mpint(number)))


def test_a_line_keeps_its_key_and_loses_its_comment():
    assert str(parse_ssh_key(PUBLIC, "public")) == PUBLIC.rpartition(" ")[0]
    assert str(parse_ssh_key(PUBLIC + " with blanks", "public")) == PUBLIC.rpartition(" ")[0]


def test_rsa_keys_have_2048_bits_or_more():
    parse_ssh_key(rsa_line(2048), "public")
    with pytest.raises(FormatError, match="less than 2048"):
        parse_ssh_key(rsa_line(1024), "public")


POINT = generate_ec(SECP256R1()).public_key()
UNCOMPRESSED = POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
COMPRESSED = POINT.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
RAW = KEY.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("kind", "blob"),
    [
        ("ssh-ed25519", ssh(b"ssh-ed25519", RAW) + b"x"),
        ("ssh-ed25519", ssh(b"ssh-ed25519", RAW[:-1])),
        ("ssh-ed25519", ssh(b"ssh-ed25519", bytes([1]) + bytes(31))),
        ("ssh-ed25519", ssh(b"ssh-ed25519")),
        ("ssh-ed25519", ssh(b"ssh-rsa", RAW)),
        ("ssh-rsa", ssh(b"ssh-rsa", b"", b"")),
        ("ssh-rsa", ssh(b"ssh-rsa", b"\x00\x01\x00\x01", b"\x00" + b"\xff" * 256)),
        ("ssh-rsa", ssh(b"ssh-rsa", b"\x01\x00\x01", b"\xff" * 256)),
        ("ssh-rsa", ssh(b"ssh-rsa", b"\x02", b"\x00" + b"\xff" * 256)),
        ("ssh-dss", ssh(b"ssh-dss", *[mpint(2**160 - 1)] * 4)),
        ("ssh-ed25519-cert-v01@openssh.com", ssh(b"ssh-ed25519-cert-v01@openssh.com", RAW)),
        ("ecdsa-sha2-nistp256", ssh(b"ecdsa-sha2-nistp256", b"nistp384", UNCOMPRESSED)),
        ("ecdsa-sha2-nistp256", ssh(b"ecdsa-sha2-nistp256", b"nistp256", COMPRESSED)),
        ("ecdsa-sha2-nistp256", ssh(b"ecdsa-sha2-nistp256", b"nistp256", UNCOMPRESSED[:-1] + b"\x00")),
        ("sk-ssh-ed25519@openssh.com", ssh(b"sk-ssh-ed25519@openssh.com", RAW)),
        ("", b""),
    ],
)
def test_a_key_that_is_not_as_it_should_be_is_refused(kind, blob):
    with pytest.raises(FormatError):
        parse_ssh_key(f"{kind} {encode_base64(blob)}", "public")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        PUBLIC + "\n",
        f"{PUBLIC}\nssh-ed25519 AAAA",
        "x" * 5000,
        "é " + PUBLIC,
        f" {PUBLIC}",
    ],
)
def test_other_lines_are_refused(line):
    with pytest.raises(FormatError):
        parse_ssh_key(line, "public")
