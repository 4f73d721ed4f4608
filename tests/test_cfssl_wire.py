import asyncio
import base64
import hashlib
import hmac
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ca_in_memory import AUTH_KEY, POLICY, KeyInMemory, authority_of, ca_pem, key_of, make_csr_pem
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from custodian.errors import (
    BadInput,
    CannotOpen,
    CustodianError,
    Forbidden,
    QuorumMissing,
    TooMany,
    Unavailable,
)
from signer.api import Limits, cfssl_app
from signer.cfssl import failure, success

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
    "authsign for a profile without a token": (
        "authsign",
        authenticated({"profile": "server"}),
        bad("no authentication provider"),
    ),
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


@pytest.fixture
def keys():
    return KeyInMemory(key_of("P-256"))


@pytest.fixture
async def client(keys):
    async with TestClient(TestServer(cfssl_app(authority_of(keys, REAL_POLICY, ca=CA)))) as client:
        yield client


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


@pytest.mark.parametrize("case", SAME_AS_CFSSL)
async def test_refusals_are_cfssls_to_the_byte(client, keys, case):
    path, body, answer = SAME_AS_CFSSL[case]
    assert await post(client, path, body) == answer
    assert keys.seen == []


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_wrong_verb_is_405(client, verb):
    async with client.request(verb, API + "sign") as answer:
        expected = refused(405, 405, f'Method is not allowed:"{verb}"')
        assert (answer.status, await answer.read()) == expected
    async with client.post(API + "health") as answer:
        assert answer.status == 405


async def test_health_is_a_get(client):
    async with client.get(API + "health") as answer:
        body = b'{"success":true,"result":{"healthy":true},"errors":[],"messages":[]}\n'
        assert await answer.read() == body
        assert answer.headers["Content-Type"] == "application/json"


async def test_errors_are_plain_text_that_browsers_do_not_guess_about(client):
    async with client.post(API + "sign", data="") as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_answer_is_the_envelope_and_one_newline(client):
    status, body = await post(client, "sign", json.dumps({"certificate_request": CSR}))
    text = body.decode()
    assert status == 200
    assert text.startswith('{"success":true,"result":{"certificate":"-----BEGIN CERTIFICATE-----\\n')
    assert text.endswith('\\n-----END CERTIFICATE-----\\n"},"errors":[],"messages":[]}\n')


async def test_info_has_the_certificate_without_its_last_newline(client):
    status, body = await post(client, "info", '{"profile":"server"}')
    assert status == 200
    assert json.loads(body)["result"] == {
        "certificate": CA.removesuffix("\n"),
        "usages": ["digital signature", "key encipherment", "server auth"],
        "expiry": "720h",
    }
    assert list(json.loads(body)["result"]) == ["certificate", "usages", "expiry"]


async def test_keys_match_in_any_case_and_the_last_one_wins(client):
    twice = f'{{"CERTIFICATE_REQUEST":{json.dumps(CSR)},"Profile":"authed","profile":"server"}}'
    status, body = await post(client, "sign", twice)
    assert status == 200
    assert certificate(json.loads(body))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["www.example.com"]),
        ({"hosts": None}, ["www.example.com"]),
        ({"hosts": []}, []),
        ({"hosts": ["b.example", "10.0.0.1"]}, ["b.example", "10.0.0.1"]),
        ({"hostname": "c.example,d.example"}, ["c.example", "d.example"]),
        ({"hostname": "c.example", "hosts": ["b.example"]}, ["c.example"]),
        ({"hostname": "", "hosts": ["b.example"]}, ["b.example"]),
    ],
)
async def test_hosts_replace_the_names_of_the_csr_only_when_they_are_sent(client, request_, expected):
    assert names(await sign(client, **request_)) == expected


async def test_an_empty_host_is_refused(client):
    answer = await sign(client, status=400, hosts=[""])
    assert answer["errors"] == [{"code": 9300, "message": "hosts[0]: is not a DNS name"}]


async def test_a_subject_overrides_the_csrs_field_by_field(client):
    subject = {"CN": "other", "names": [{"OU": "Ops"}, {"OU": "Dev", "O": ""}], "SerialNumber": "7"}
    got = certificate(await sign(client, subject=subject)).subject
    assert got.rfc4514_string() == "2.5.4.5=7,CN=other,OU=Dev+OU=Ops,O=Acme"


async def test_what_the_real_client_sends_is_accepted(client):
    extra = {
        "hosts": None,
        "crl_override": "",
        "label": "primary",
        "NotBefore": "0001-01-01T00:00:00Z",
        "NotAfter": "0001-01-01T00:00:00Z",
        "ReturnPrecert": False,
        "metadata": None,
        "whatever": {"is": ["unknown"]},
    }
    assert names(await sign(client, **extra)) == ["www.example.com"]
    assert names(await sign(client, "authsign", profile="authed", **extra)) == ["www.example.com"]


@pytest.mark.parametrize(
    "override",
    [
        {"NotBefore": "2001-01-01T00:00:00Z"},
        {"NotAfter": "2099-01-01T00:00:00Z"},
        {"notafter": "2099-01-01T00:00:00Z"},
        {"crl_override": "http://evil.example/crl"},
        {"ReturnPrecert": True},
        {"serial": 7},
        {"extensions": [{"id": "1.2.3", "critical": False, "value": "0500"}]},
    ],
)
@pytest.mark.parametrize("path", ["sign", "authsign"])
async def test_a_caller_cannot_override_the_policy(client, keys, path, override):
    profile = "authed" if path == "authsign" else ""
    answer = await sign(client, path, status=400, profile=profile, **override)
    assert answer["errors"][0]["code"] == 5300
    assert keys.seen == []


async def test_an_unknown_profile_is_5400_everywhere(client):
    request = json.dumps({"certificate_request": CSR, "profile": "nope", "request": {}})
    expected = refused(400, 5400, "Unknown policy profile")
    for path in ("sign", "info", "newcert"):
        assert await post(client, path, request) == expected
    assert await post(client, "authsign", authenticated({"profile": "nope"})) == expected


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"hosts": "a.example"}, "hosts: must be a list of strings"),
        ({"hosts": ["a.example", 7]}, "hosts[1]: must be a string"),
        ({"hosts": {"a": 1}}, "hosts: must be a list of strings"),
        ({"certificate_request": 5}, "certificate_request: must be a string"),
        ({"profile": ["x"]}, "profile: must be a string"),
        ({"profile": "\ud800"}, "profile: is not Unicode text"),
        ({"bundle": "yes"}, "bundle: must be true or false"),
        ({"subject": "CN=x"}, "subject: must be a JSON object"),
        ({"subject": {"names": {}}}, "subject.names: must be a list of objects"),
        ({"subject": {"names": [{"O": 1}]}}, "subject.names[0].O: must be a string"),
        ({"subject": {"names": [{"OID": {"1.2": "x"}}]}}, "subject.names[0].OID"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(client, request_, field):
    answer = await sign(client, status=400, **request_)
    assert answer["errors"][0]["code"] == 400
    assert answer["errors"][0]["message"].startswith(f"Unable to parse sign request: {field}")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"[" * 30000,
        b'{"a":' * 9000,
        b'{"serial":' + b"9" * 5000 + b"}",
        b'{"serial":NaN}',
        b"[]",
        b"7",
        b'"text"',
        b"\x00",
        b"{'a':1}",
    ],
)
@pytest.mark.parametrize("path", ["sign", "authsign", "info", "newkey", "newcert"])
async def test_junk_is_400_and_never_500(client, path, body):
    status, answer = await post(client, path, body)
    assert status == 400
    assert json.loads(answer)["errors"][0]["code"] == 400


async def test_a_bundle_is_answered_with_cfssls_warning(client):
    answer = await sign(client, bundle=True)
    assert answer["messages"] == [
        {
            "code": 5300,
            "message": "This request requires a bundler, but one is not initialized for the API server.",
        }
    ]


# Tokens.


async def test_the_token_is_over_the_bytes_of_the_request(client):
    data = json.dumps({"certificate_request": CSR, "profile": "authed"}).encode()
    assert (await post(client, "authsign", authenticated(data)))[0] == 200
    other = base64.b64encode(token_for(data + b" ")).decode()
    assert await post(client, "authsign", authenticated(data, token=other)) == bad("invalid token")
    wrong_key = base64.b64encode(token_for(data, "00" * 16)).decode()
    tried = authenticated(data, token=wrong_key)
    assert await post(client, "authsign", tried) == bad("invalid token")


async def test_during_a_rotation_the_previous_key_is_accepted_too(keys):
    profile = {"expiry": "1h", "usages": ["signing"], "auth_key": "new", "prev_auth_key": "old"}
    policy = {
        "signing": {"default": profile},
        "auth_keys": {
            "new": {"type": "standard", "key": "11" * 16},
            "old": {"type": "standard", "key": "22" * 16},
            "other": {"type": "standard", "key": "33" * 16},
        },
    }
    data = json.dumps({"certificate_request": CSR}).encode()
    async with TestClient(TestServer(cfssl_app(authority_of(keys, policy)))) as client:
        for key, status in [("11", 200), ("22", 200), ("33", 400)]:
            token = base64.b64encode(token_for(data, key * 16)).decode()
            assert (await post(client, "authsign", authenticated(data, token=token)))[0] == status


async def test_base64_with_line_breaks_is_read_as_go_reads_it(client):
    data = json.dumps({"certificate_request": CSR, "profile": "authed"}).encode()
    wrapped = base64.encodebytes(data).decode()
    assert (await post(client, "authsign", authenticated(data, request=wrapped)))[0] == 200


async def test_the_token_does_not_show_in_answers(client):
    for changed in ({"token": "c2VjcmV0"}, {"token": "c2VjcmV0!"}, {"token": ["c2VjcmV0"]}):
        _, answer = await post(client, "authsign", authenticated({"profile": "authed"}, **changed))
        assert b"c2VjcmV0" not in answer


# Which endpoints there are.


async def test_without_a_profile_without_a_token_there_is_no_sign(keys):
    policy = POLICY | {"signing": {"default": POLICY["signing"]["profiles"]["authed"]}}
    async with TestClient(TestServer(cfssl_app(authority_of(keys, policy)))) as client:
        assert await post(client, "sign", "{}") == NOT_FOUND
        assert await post(client, "authsign", "{}") == UNPARSED_INNER


async def test_without_a_profile_with_a_token_there_is_no_authsign(keys):
    policy = {"signing": {"default": POLICY["signing"]["default"]}}
    async with TestClient(TestServer(cfssl_app(authority_of(keys, policy)))) as client:
        assert await post(client, "authsign", "{}") == NOT_FOUND
        assert await post(client, "sign", "{}") == NO_CSR


async def test_info_answers_even_where_there_is_no_default_profile(keys):
    policy = POLICY | {"signing": {"profiles": POLICY["signing"]["profiles"]}}
    async with TestClient(TestServer(cfssl_app(authority_of(keys, policy)))) as client:
        status, body = await post(client, "info", "{}")
        assert status == 200
        assert json.loads(body)["result"]["usages"] == []
        assert (await sign(client, status=400))["errors"][0]["code"] == 5400


# Keys made here.


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ({"algo": "rsa", "size": 2048}, "RSA PRIVATE KEY"),
        ({"algo": "ecdsa", "size": 384}, "EC PRIVATE KEY"),
        ({"algo": "ed25519"}, "PRIVATE KEY"),
        (None, "EC PRIVATE KEY"),
        ({}, "EC PRIVATE KEY"),
    ],
)
async def test_newkey_makes_a_key_and_its_csr(client, key, label):
    request = {
        "CN": "a.example",
        "hosts": ["a.example", "10.0.0.1"],
        "names": [{"C": "SE", "O": "Acme", "E": "ca@a.example"}],
        "serialnumber": "7",
        "key": key,
    }
    status, body = await post(client, "newkey", json.dumps(request))
    result = json.loads(body)["result"]
    assert status == 200
    assert list(result) == ["private_key", "certificate_request", "sums"]
    assert result["private_key"].startswith(f"-----BEGIN {label}-----\n")
    private = load_pem_private_key(result["private_key"].encode(), None)
    csr = x509.load_pem_x509_csr(result["certificate_request"].encode())
    assert csr.is_signature_valid
    assert csr.public_key() == private.public_key()
    assert csr.subject.rfc4514_string({}) == (
        "1.2.840.113549.1.9.1=ca@a.example,2.5.4.5=7,CN=a.example,O=Acme,C=SE"
    )
    der = base64.b64decode("".join(result["certificate_request"].splitlines()[1:-1]))
    assert result["sums"]["certificate_request"] == {
        "md5": hashlib.md5(der).hexdigest().upper(),  # noqa: S324
        "sha-1": hashlib.sha1(der).hexdigest().upper(),  # noqa: S324
        "sha-256": hashlib.sha256(der).hexdigest().upper(),
    }


async def test_newkey_of_nothing_makes_a_csr_without_names(client):
    status, body = await post(client, "newkey", "{}")
    assert status == 200
    csr = x509.load_pem_x509_csr(json.loads(body)["result"]["certificate_request"].encode())
    assert (len(csr.subject), len(csr.extensions)) == (0, 0)


async def test_newcert_makes_a_key_and_its_certificate(client):
    request = {"request": {"CN": "a.example", "hosts": ["a.example"]}, "profile": "server"}
    status, body = await post(client, "newcert", json.dumps(request))
    answer = json.loads(body)
    assert status == 200
    assert list(answer["result"]) == ["certificate", "certificate_request", "private_key", "sums"]
    private = load_pem_private_key(answer["result"]["private_key"].encode(), None)
    assert certificate(answer).public_key() == private.public_key()
    assert names(answer) == ["a.example"]
    assert answer["messages"] == []


async def test_newcert_without_hosts_warns_as_cfssl_does(client):
    status, body = await post(client, "newcert", '{"request":{"CN":"a"}}')
    assert status == 200
    [message] = json.loads(body)["messages"]
    assert message["code"] == 5300
    assert message["message"].startswith('This certificate lacks a "hosts" field.')


async def test_newcert_does_not_bypass_the_token(client, keys):
    request = {"request": {"CN": "a.example"}, "profile": "authed"}
    status, body = await post(client, "newcert", json.dumps(request))
    assert status == 401
    assert json.loads(body)["errors"][0]["code"] == 401
    assert keys.seen == []


# What goes wrong behind the wire.


async def test_a_missing_quorum_says_who_is_missing_for_people_and_machines(client, keys):
    keys.error = QuorumMissing("1 more of bob and carol must lend `ca`", missing=["bob", "carol"])
    status, body = await post(client, "sign", json.dumps({"certificate_request": CSR}))
    assert status == 503
    assert body == (
        b'{"success":false,"result":null,"errors":[{"code":2500,"message":'
        b'"1 more of bob and carol must lend `ca`"}],"messages":[],'
        b'"quorum":{"missing":["bob","carol"]}}\n'
    )


@pytest.mark.parametrize(
    ("error", "status", "number"),
    [
        (Unavailable("the custodian does not answer"), 503, 2500),
        (CannotOpen("the key does not open"), 503, 2500),
        (Forbidden("the owners lend it for *.example only"), 403, 5300),
        (TooMany("too many leases"), 429, 2500),
        (BadInput("hosts", "is odd"), 400, 400),
    ],
)
async def test_other_refusals_of_the_key_holder_have_a_number(client, keys, error, status, number):
    keys.error = error
    answer = await sign(client, status=status)
    assert answer["errors"] == [{"code": number, "message": error.detail}]
    assert "quorum" not in answer


async def test_a_bug_is_500_without_detail(client, keys, caplog):
    keys.error = RuntimeError("secret detail")
    expected = refused(500, 0, "internal error")
    assert await post(client, "sign", json.dumps({"certificate_request": CSR})) == expected
    assert "sign failed" in caplog.text


def test_an_error_that_nobody_mapped_has_no_detail():
    assert failure(CustodianError("secret detail")) == refused(500, 0, "internal error")


def test_html_is_escaped_as_go_escapes_it():
    assert success('<a>&\u2028é"\\') == (
        b'{"success":true,"result":"\\u003ca\\u003e\\u0026\\u2028\xc3\xa9\\"\\\\",'
        b'"errors":[],"messages":[]}\n'
    )


# Limits.


@pytest.fixture
async def small(keys):
    limits = Limits(body=4096, seconds=0.2)
    async with TestClient(TestServer(cfssl_app(authority_of(keys), limits))) as client:
        yield client


TOO_LONG = refused(413, 413, "the body is longer than 4096 bytes")


async def test_a_long_body_is_413(small):
    assert await post(small, "sign", b" " * 4097) == TOO_LONG
    assert (await post(small, "sign", b" " * 4096))[0] == 400


async def test_a_long_body_of_unknown_length_is_413(small):
    async def chunks():
        for _ in range(100):
            yield b" " * 100

    assert await post(small, "sign", chunks()) == TOO_LONG


async def raw(client, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.readuntil(b'"messages":[]}\n'), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_long_body_is_refused_before_it_is_sent(small):
    head = f"POST {API}sign HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    assert b" 413 " in await raw(small, head.encode())


async def test_a_slow_body_is_408(small):
    head = f"POST {API}sign HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{"
    answer = await raw(small, head.encode())
    assert b" 408 " in answer
    assert answer.endswith(refused(408, 408, "the body took longer than 0.2 seconds")[1])


async def test_the_default_limits_are_64_kib_and_5_seconds():
    assert (Limits().body, Limits().seconds) == (65536, 5.0)
