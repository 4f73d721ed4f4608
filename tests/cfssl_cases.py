"""Requests in CFSSL's form, and the answers that CFSSL gives to them."""

import base64
import hashlib
import hmac
import json

from ca_in_memory import AUTH_KEY, POLICY, ca_pem, key_of, make_csr_pem
from cryptography import x509

API = "/api/v1/cfssl/"
CA = ca_pem(key_of("P-256"))
CSR = make_csr_pem(key_of("P-256"))
REAL_POLICY = POLICY | {
    "signing": {
        "default": POLICY["signing"]["default"],
        "profiles": POLICY["signing"]["profiles"]
        | {
            "narrow": {
                "expiry": "24h",
                "usages": ["server auth"],
                "name_whitelist": "^only\\.example$",
            }
        },
    }
}


def token_for(request: bytes, key: str = AUTH_KEY) -> bytes:
    return hmac.digest(bytes.fromhex(key), request, hashlib.sha256)


def authenticated(request: dict | bytes, /, **changed: object) -> str:
    data = request if isinstance(request, bytes) else json.dumps(request).encode()
    body = {
        "token": base64.b64encode(token_for(data)).decode(),
        "request": base64.b64encode(data).decode(),
    }
    return json.dumps(body | changed)


def refused(status: int, number: int, message: str) -> tuple[int, bytes]:
    """Return a refusal as CFSSL writes it, to the byte."""
    error = '{"code":%d,"message":%s}' % (number, json.dumps(message))  # noqa: UP031 (braces)
    return status, f'{{"success":false,"result":null,"errors":[{error}],"messages":[]}}\n'.encode()


def bad(message: str) -> tuple[int, bytes]:
    return refused(400, 400, message)


CA_WISH = make_csr_pem(key_of("P-256"), None, None, x509.BasicConstraints(True, None))
UNPARSED = bad("Unable to parse sign request")
UNPARSED_INNER = bad("Unable to parse authenticated sign request")
NO_CSR = bad("missing parameter 'certificate_request'")
NOT_FOUND = (404, b"404 page not found\n")
# Requests that the real `cfssl serve` refuses in the very same bytes; test_cfssl_clients.py asks it.
SAME_AS_CFSSL = {
    "sign nothing": ("sign", "", UNPARSED),
    "sign half an object": ("sign", '{"certificate_request":', UNPARSED),
    "sign and more": ("sign", "{} x", UNPARSED),
    "sign without a CSR": ("sign", "{}", NO_CSR),
    "sign null": ("sign", "null", NO_CSR),
    "sign without a CSR for a profile with a token": ("sign", '{"profile":"authed"}', NO_CSR),
    "sign for a profile with a token": (
        "sign",
        json.dumps({"certificate_request": "x", "profile": "authed"}),
        bad("authentication required"),
    ),
    "sign what is no PEM": (
        "sign",
        json.dumps({"certificate_request": "x"}),
        refused(400, 9002, "CSR Decode failed"),
    ),
    "sign a certificate": (
        "sign",
        json.dumps({"certificate_request": ca_pem(key_of("P-256"))}),
        refused(400, 9300, "not a csr"),
    ),
    "sign a CA's CSR": (
        "sign",
        json.dumps({"certificate_request": CA_WISH}),
        refused(400, 5300, "Policy violation request"),
    ),
    "sign against the whitelist": (
        "sign",
        json.dumps({"certificate_request": CSR, "profile": "narrow"}),
        refused(400, 5500, "Request does not match policy whitelist"),
    ),
    "authsign nothing": ("authsign", "", bad("unexpected end of JSON input")),
    "authsign half an object": ("authsign", '{"token":"', bad("unexpected end of JSON input")),
    "authsign junk for base64": (
        "authsign",
        authenticated({}, token="!!!!"),
        bad("illegal base64 data at input byte 0"),
    ),
    "authsign junk within base64": (
        "authsign",
        authenticated({}, request="AAAA*AAA"),
        bad("illegal base64 data at input byte 4"),
    ),
    "authsign no request": ("authsign", "{}", UNPARSED_INNER),
    "authsign half a request": ("authsign", authenticated(b"{"), UNPARSED_INNER),
    "authsign with another token": (
        "authsign",
        authenticated({"profile": "authed"}, token="AAAA"),
        bad("invalid token"),
    ),
    "authsign without a token": (
        "authsign",
        authenticated({"profile": "authed"}, token=""),
        bad("invalid token"),
    ),
    "authsign without a CSR": ("authsign", authenticated({"profile": "authed"}), NO_CSR),
    "info about nothing": ("info", "", bad("unexpected end of JSON input")),
    "newkey from nothing": ("newkey", "", bad("unexpected end of JSON input")),
    "newkey with a ca section": (
        "newkey",
        '{"ca":{}}',
        bad("ca section only permitted in initca"),
    ),
    "newkey too weak": (
        "newkey",
        '{"key":{"algo":"rsa","size":1024}}',
        refused(400, 2400, "RSA key is too weak"),
    ),
    "newkey too large": (
        "newkey",
        '{"key":{"algo":"rsa","size":16384}}',
        refused(400, 2400, "RSA key size too large"),
    ),
    "newkey of no curve": (
        "newkey",
        '{"key":{"algo":"ecdsa","size":255}}',
        refused(400, 2400, "invalid curve"),
    ),
    "newkey of no kind": (
        "newkey",
        '{"key":{"algo":"dsa","size":2048}}',
        refused(400, 2400, "invalid algorithm"),
    ),
    "newcert null": ("newcert", '{"request":null}', bad("missing request section")),
    "newcert with a ca section": (
        "newcert",
        '{"request":{"ca":{}}}',
        bad("ca section only permitted in initca"),
    ),
    "a trailing slash": ("sign/", "{}", NOT_FOUND),
    "no such endpoint": ("selfdestruct", "{}", NOT_FOUND),
}


async def post(client, path, body) -> tuple[int, bytes]:
    async with client.post(API + path, data=body) as answer:
        return answer.status, await answer.read()


async def sign(client, path="sign", status=200, **request) -> dict:
    body = {"certificate_request": CSR} | request
    data = authenticated(body) if path == "authsign" else json.dumps(body)
    got, answer = await post(client, path, data)
    assert got == status, answer
    return json.loads(answer)


def certificate(answer: dict) -> x509.Certificate:
    return x509.load_pem_x509_certificate(answer["result"]["certificate"].encode())


def names(answer: dict) -> list[str]:
    try:
        kind = x509.SubjectAlternativeName
        found = certificate(answer).extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]
