"""The real `cfssl` against this signer, and this signer's answers against the real `cfssl serve`."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from ca_in_memory import AUTH_KEY, KeyInMemory, authority_of, ca_pem, key_of, make_csr_pem
from cfssl_cases import API, REAL_POLICY, SAME_AS_CFSSL
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from custodian.errors import QuorumMissing
from signer.api import cfssl_app

CLIENTS = {"installed": shutil.which("cfssl"), "newer": os.environ.get("CFSSL_NEW")}
NOW = datetime.now(UTC)
CSR_JSON = {
    "CN": "web.example.com",
    "hosts": ["web.example.com", "10.1.2.3"],
    "names": [{"C": "SE", "O": "Acme", "OU": "Web"}, {"OU": "Ops"}],
    "key": {"algo": "ecdsa", "size": 256},
}


@pytest.fixture(params=CLIENTS)
def cfssl(request) -> str:
    path = CLIENTS[request.param]
    if not path:
        pytest.skip(
            "golang-cfssl is not installed"
            if request.param == "installed"
            else "CFSSL_NEW does not name a newer cfssl"
        )
    return path


@pytest.fixture(params=["RSA-2048", "P-256"])
def keys(request):
    return KeyInMemory(key_of(request.param, "ca"))


@pytest.fixture
async def signer(keys, tmp_path):
    """Serve a CA on 127.0.0.1 and return its URL; `ca.pem` in tmp_path is its certificate."""
    ca = ca_pem(keys.key, not_before=NOW - timedelta(hours=1))
    (tmp_path / "ca.pem").write_text(ca)
    async with TestServer(cfssl_app(authority_of(keys, REAL_POLICY, now=NOW, ca=ca))) as server:
        yield f"http://127.0.0.1:{server.port}"


async def run(*command: str, cwd: Path, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    assert process.returncode is not None
    return process.returncode, out, err


async def output(*command: str, cwd: Path, stdin: bytes = b"") -> bytes:
    status, out, err = await run(*command, cwd=cwd, stdin=stdin)
    assert status == 0, (out, err)
    return out


async def verify(directory: Path, name: str) -> x509.Certificate:
    """Return the certificate in the file, which openssl has to believe."""
    command = ("openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", name)
    assert await output(*command, cwd=directory) == f"{name}: OK\n".encode()
    return x509.load_pem_x509_certificate((directory / name).read_bytes())


async def post(url: str, path: str, body: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + API + path, data=body) as answer,
    ):
        return answer.status, await answer.read()


def remote_config(directory: Path, url: str, key: str = AUTH_KEY) -> str:
    profile = {"auth_remote": {"remote": "ca", "auth_key": "key1"}}
    config = {
        "signing": {"default": profile, "profiles": {"authed": profile}},
        "auth_keys": {"key1": {"type": "standard", "key": key}},
        "remotes": {"ca": url},
    }
    (directory / "client.json").write_text(json.dumps(config))
    return "client.json"


async def test_cfssl_info_shows_the_ca(cfssl, signer, tmp_path):
    command = (cfssl, "info", "-remote", signer, "-profile", "server")
    info = json.loads(await output(*command, cwd=tmp_path))
    assert info["certificate"] == (tmp_path / "ca.pem").read_text().strip()
    assert info["usages"] == ["digital signature", "key encipherment", "server auth"]
    assert info["expiry"] == "720h"


async def test_cfssl_sign_gets_a_certificate(cfssl, signer, tmp_path):
    (tmp_path / "web.csr").write_text(make_csr_pem(key_of("P-256")))
    command = (cfssl, "sign", "-remote", signer, "-profile", "server", "web.csr")
    out = await output(*command, cwd=tmp_path)
    await output("cfssljson", "-bare", "web", cwd=tmp_path, stdin=out)
    certificate = await verify(tmp_path, "web.pem")
    assert certificate.subject.rfc4514_string() == "CN=www.example.com,O=Acme"


async def test_cfssl_sign_with_other_hosts_gets_those(cfssl, signer, tmp_path):
    (tmp_path / "web.csr").write_text(make_csr_pem(key_of("P-256")))
    command = (cfssl, "sign", "-remote", signer, "-hostname", "a.example,10.0.0.1", "web.csr")
    out = await output(*command, cwd=tmp_path)
    await output("cfssljson", "-bare", "web", cwd=tmp_path, stdin=out)
    certificate = await verify(tmp_path, "web.pem")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["a.example", "10.0.0.1"]


@pytest.mark.parametrize("flags", [("-profile", "server"), ("-label", "primary"), ()])
async def test_cfssl_gencert_makes_a_key_and_gets_its_certificate(cfssl, signer, tmp_path, flags):
    (tmp_path / "web.json").write_text(json.dumps(CSR_JSON))
    out = await output(cfssl, "gencert", "-remote", signer, *flags, "web.json", cwd=tmp_path)
    await output("cfssljson", "-bare", "web", cwd=tmp_path, stdin=out)
    certificate = await verify(tmp_path, "web.pem")
    assert certificate.subject.rfc4514_string() == "CN=web.example.com,OU=Ops+OU=Web,O=Acme,C=SE"


@pytest.mark.parametrize("command", ["gencert", "sign"])
async def test_cfssl_with_auth_remote_proves_who_it_is(cfssl, signer, tmp_path, command):
    config = remote_config(tmp_path, signer)
    (tmp_path / "web.json").write_text(json.dumps(CSR_JSON))
    (tmp_path / "web.csr").write_text(make_csr_pem(key_of("P-256")))
    request = "web.json" if command == "gencert" else "web.csr"
    arguments = (command, "-config", config, "-profile", "authed", request)
    out = await output(cfssl, *arguments, cwd=tmp_path)
    await output("cfssljson", "-bare", "web", cwd=tmp_path, stdin=out)
    certificate = await verify(tmp_path, "web.pem")
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=1)


async def test_cfssl_with_another_key_is_refused(cfssl, signer, tmp_path):
    config = remote_config(tmp_path, signer, key="00" * 16)
    (tmp_path / "web.csr").write_text(make_csr_pem(key_of("P-256")))
    command = (cfssl, "sign", "-config", config, "-profile", "authed", "web.csr")
    _, out, err = await run(*command, cwd=tmp_path)
    assert b"CERTIFICATE" not in out
    assert b"invalid token" in err


async def test_cfssl_is_told_who_is_missing(cfssl, signer, keys, tmp_path):
    keys.error = QuorumMissing("bob or carol must lend `ca` too", missing=["bob", "carol"])
    (tmp_path / "web.csr").write_text(make_csr_pem(key_of("P-256")))
    _, out, err = await run(cfssl, "sign", "-remote", signer, "web.csr", cwd=tmp_path)
    assert b"CERTIFICATE" not in out
    assert b"bob or carol must lend `ca` too" in err


async def test_cfssljson_splits_an_answer_of_the_api(cfssl, signer, tmp_path):
    body = json.dumps({"request": CSR_JSON, "profile": "server"})
    _, reply = await post(signer, "newcert", body)
    await output("cfssljson", "web", cwd=tmp_path, stdin=reply)
    await verify(tmp_path, "web.pem")
    text = await output("openssl", "pkey", "-in", "web-key.pem", "-noout", "-text", cwd=tmp_path)
    assert b"Private-Key" in text


# The same questions to the real server.


@pytest.fixture(scope="module")
def real_server(tmp_path_factory):
    """Start `cfssl serve` with a throw-away CA and return its URL."""
    path = CLIENTS["newer"] or CLIENTS["installed"]
    if not path:
        pytest.skip("golang-cfssl is not installed")
    directory = tmp_path_factory.mktemp("cfssl")
    key = key_of("P-256", "ca")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (directory / "ca-key.pem").write_bytes(pem)
    (directory / "ca.pem").write_text(ca_pem(key, not_before=NOW - timedelta(hours=1)))
    (directory / "config.json").write_text(json.dumps(REAL_POLICY))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = ["-ca", "ca.pem", "-ca-key", "ca-key.pem", "-config", "config.json"]
    listen = ["-address", "127.0.0.1", "-port", str(port), "-loglevel", "5"]
    process = subprocess.Popen([path, "serve", *files, *listen], cwd=directory, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int, process: subprocess.Popen) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while datetime.now(UTC) < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            continue
    pytest.fail("cfssl serve did not start")


@pytest.mark.parametrize("case", SAME_AS_CFSSL)
async def test_the_real_server_refuses_in_the_same_bytes(real_server, case):
    path, body, answer = SAME_AS_CFSSL[case]
    if case == "sign a certificate" and not CLIENTS["newer"]:
        pytest.skip("cfssl 1.2.0 words this one differently; CFSSL_NEW names no newer one")
    if "base64" in case and CLIENTS["newer"]:
        pytest.skip("this error is Go's own; newer Go words it differently")
    assert await post(real_server, path, body) == answer


@asynccontextmanager
async def ours():
    keys = KeyInMemory(key_of("P-256", "ca"))
    async with TestServer(cfssl_app(authority_of(keys, REAL_POLICY, now=NOW))) as server:
        yield f"http://127.0.0.1:{server.port}"


SUBJECTS = [
    [("CN", "www.example.com"), ("O", "Acme")],
    [("O", "Acme"), ("OU", "b"), ("OU", "a"), ("C", "SE"), ("L", "Lund"), ("ST", "Skåne")],
    [("CN", "one"), ("CN", "two & a*"), ("SERIALNUMBER", "7"), ("STREET", "Main 1")],
]


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_the_real_server_issues_the_same_certificate(real_server, subject):
    """Compare everything but serial number, times and the authority of each; RSA keeps all usages."""
    sans = [
        x509.IPAddress(ip_address("10.1.2.3")),
        x509.DNSName("www.example.com"),
        x509.RFC822Name("a@example.com"),
    ]
    csr = make_csr_pem(key_of("RSA-2048"), subject, sans)
    body = json.dumps({"certificate_request": csr, "profile": "server"})
    async with ours() as url:
        answers = [await post(url, "sign", body), await post(real_server, "sign", body)]
    mine, theirs = (
        x509.load_pem_x509_certificate(json.loads(answer)["result"]["certificate"].encode())
        for _, answer in answers
    )
    assert mine.subject.public_bytes() == theirs.subject.public_bytes()
    assert mine.issuer.public_bytes() == theirs.issuer.public_bytes()
    assert mine.public_key() == theirs.public_key()
    assert mine.signature_algorithm_oid == theirs.signature_algorithm_oid
    assert list(mine.extensions) == list(theirs.extensions)
