import base64
import hashlib
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ca_in_memory import KeyInMemory, authority_of, key_of
from cfssl_cases import (
    CA,
    REAL_POLICY,
    certificate,
    names,
    post,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signer.api import cfssl_app


@pytest.fixture
def keys():
    return KeyInMemory(key_of("P-256"))


@pytest.fixture
async def client(keys):
    async with TestClient(TestServer(cfssl_app(authority_of(keys, REAL_POLICY, ca=CA)))) as client:
        yield client


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
