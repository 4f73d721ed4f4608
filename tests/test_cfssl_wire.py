import asyncio
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ca_in_memory import POLICY, KeyInMemory, authority_of, key_of
from cfssl_cases import (
    API,
    CA,
    CSR,
    NO_CSR,
    NOT_FOUND,
    REAL_POLICY,
    SAME_AS_CFSSL,
    UNPARSED_INNER,
    post,
    refused,
    sign,
)

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


@pytest.fixture
def keys():
    return KeyInMemory(key_of("P-256"))


@pytest.fixture
async def client(keys):
    async with TestClient(TestServer(cfssl_app(authority_of(keys, REAL_POLICY, ca=CA)))) as client:
        yield client


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


async def test_a_body_without_an_end_is_413(small):
    async def chunks():
        while True:
            yield b" " * 1000
            await asyncio.sleep(0.001)

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


async def test_a_body_that_breaks_is_refused_like_one_that_never_ends(small):
    head = f"POST {API}sign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection(small.host, small.port)
    writer.write(head.encode())
    await asyncio.sleep(0.05)
    writer.write(b"ZZ\r\n")
    answer = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()
    assert answer.split()[1] in {b"400", b"408"}


async def test_a_packed_body_is_415(keys):
    server = TestServer(cfssl_app(authority_of(keys)))
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        headers = {"Content-Encoding": "gzip"}
        async with client.post(API + "sign", data=b"{}", headers=headers, compress=None) as answer:
            assert answer.status == 415


async def test_the_default_limits_are_64_kib_and_5_seconds():
    assert (Limits().body, Limits().seconds) == (65536, 5.0)
