import base64
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ca_in_memory import KeyInMemory, authority_of, key_of
from cfssl_cases import (
    CA,
    CSR,
    REAL_POLICY,
    authenticated,
    bad,
    certificate,
    names,
    post,
    refused,
    sign,
    token_for,
)

from signer.api import cfssl_app


@pytest.fixture
def keys():
    return KeyInMemory(key_of("P-256"))


@pytest.fixture
async def client(keys):
    async with TestClient(TestServer(cfssl_app(authority_of(keys, REAL_POLICY, ca=CA)))) as client:
        yield client


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


async def test_a_token_is_checked_also_where_the_profile_asks_for_none(client):
    data = json.dumps({"certificate_request": CSR, "profile": "server"}).encode()
    assert (await post(client, "authsign", authenticated(data)))[0] == 200
    status, answer = await post(client, "authsign", authenticated(data, token="AAAA"))
    assert (status, b"invalid token" in answer) == (400, True)
