"""The main job: an unmodified cfssl gets a certificate by a key that two of three owners have lent."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ca_in_memory import key_of, make_csr_pem
from cryptography import x509
from signing import AUTH_KEY, Site

CLIENTS = {"installed": shutil.which("cfssl"), "newer": os.environ.get("CFSSL_NEW")}
WHY_NOT = {"installed": "golang-cfssl is not installed", "newer": "CFSSL_NEW does not name a newer cfssl"}
REQUEST = {"CN": "web.example.com", "hosts": ["web.example.com"], "key": {"algo": "ecdsa", "size": 256}}


class Cfssl:
    """The real client in a directory of its own."""

    def __init__(self, program: str, site: Site, directory: Path) -> None:
        self.program, self.site, self.directory = program, site, directory
        profile = {"auth_remote": {"remote": "ca", "auth_key": "key1"}}
        config = {
            "signing": {"default": profile, "profiles": {"authed": profile}},
            "auth_keys": {"key1": {"type": "standard", "key": AUTH_KEY}},
            "remotes": {"ca": site.signer.url},
        }
        self.write("config.json", json.dumps(config))
        self.write("web.json", json.dumps(REQUEST))
        self.write("web.csr", make_csr_pem(key_of("P-256")))
        self.remote = ("-remote", site.signer.url)

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = (self.program, *arguments)
        return subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=30, check=False
        )

    def certificate(self, *arguments: str) -> x509.Certificate:
        """Return the certificate of a successful call, which openssl and we have to believe."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        pem = json.loads(done.stdout)["cert"]
        self.write("cert.pem", pem)
        ca = self.site.signer.directory / "ca.pem"
        believed = ("openssl", "verify", "-x509_strict", "-CAfile", str(ca), "cert.pem")
        subprocess.run(believed, cwd=self.directory, check=True, capture_output=True)
        certificate = x509.load_pem_x509_certificate(pem.encode())
        certificate.verify_directly_issued_by(self.site.ca)
        return certificate


@pytest.fixture(params=CLIENTS)
def cfssl(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Cfssl:
    program = CLIENTS[request.param]
    if not program:
        pytest.skip(WHY_NOT[request.param])
    return Cfssl(program, site, tmp_path)


def test_info_needs_no_quorum(cfssl: Cfssl) -> None:
    done = cfssl.run("info", *cfssl.remote, "-profile", "server")
    assert done.returncode == 0, done.stderr
    shown = x509.load_pem_x509_certificate(json.loads(done.stdout)["certificate"].encode())
    assert shown == cfssl.site.ca


def test_a_certificate_is_issued_while_a_quorum_lends(cfssl: Cfssl) -> None:
    cfssl.site.world.lend("alice", "carol")
    signed = cfssl.certificate("sign", *cfssl.remote, "-profile", "server", "web.csr")
    assert signed.subject.rfc4514_string() == "CN=www.example.com,O=Acme"
    made = cfssl.certificate("gencert", *cfssl.remote, "-profile", "client", "web.json")
    assert made.subject.rfc4514_string() == "CN=web.example.com"


@pytest.mark.parametrize("command", ["sign", "gencert"])
def test_a_certificate_is_issued_to_who_proves_to_be_allowed(cfssl: Cfssl, command: str) -> None:
    cfssl.site.world.lend()
    request = {"sign": "web.csr", "gencert": "web.json"}[command]
    cfssl.certificate(command, "-config", "config.json", "-profile", "authed", request)


def test_without_a_quorum_the_refusal_names_who_is_missing(cfssl: Cfssl) -> None:
    cfssl.site.world.lend("bob")
    done = cfssl.run("sign", *cfssl.remote, "-profile", "server", "web.csr")
    assert "CERTIFICATE" not in done.stdout
    assert "1 more of the owners of ca must delegate: alice or carol" in done.stderr


def test_a_program_reads_who_is_missing_from_the_refusal(site: Site) -> None:
    site.world.lend("bob")
    refusal = site.signer.refusal()
    assert refusal["code"] == 2500
    quorum = refusal["quorum"]
    assert (quorum["key"], quorum["needed"]) == ("ca", 1)
    assert (quorum["any_of"], quorum["granted"]) == (["alice", "carol"], ["bob"])
