"""The main job on this machine: a CA key that opens only while a quorum has lent it.

Starts a real custodian (TLS) and a real signer on loopback, runs the ceremony with the commands people
use, issues a certificate, and shows the refusals. Started by scripts/demo, which sets up first.
"""

import argparse
import base64
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

BIN = Path(sys.executable).parent
OWNERS = ("alice", "bob", "carol")
KEY, SIGNER, ADMIN, AUDITOR = "ca", "ca-1", "admin", "audrey"
BOLD, DIM, GREEN, RED, PLAIN = (
    ("\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m") if sys.stdout.isatty() else ("",) * 5
)


class Demo:
    """One custodian and one signer, with everything they keep in `directory`."""

    def __init__(self, directory: Path, algorithm: str = "ecdsa-p256") -> None:
        self.directory, self.algorithm = directory, algorithm
        self.custodian_dir, self.signer_dir = directory / "custodian", directory / "signer"
        self.passwords = {name: secrets.token_urlsafe(15) for name in (*OWNERS, ADMIN, AUDITOR)}
        self.auth_key = secrets.token_hex(32)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.custodian_url = self.signer_url = ""
        self.steps = 0

    # --- the ceremony

    def start_custodian(self) -> None:
        self.step(
            "A custodian starts. It stores ciphertext only, and a history nobody can rewrite unnoticed."
        )
        self.custodian(
            "init",
            "--dir",
            self.custodian_dir,
            "--admin",
            ADMIN,
            "--listen",
            "127.0.0.1:0",
            "--password-file",
            self.password_file(ADMIN),
        )
        self.custodian_url = self.start("custodian", self.custodian_dir)
        self.done(f"listens on {self.custodian_url}")

    def enrol_people(self) -> None:
        self.step("Three owners and an auditor enrol, each with a one-time invitation.")
        for name in (*OWNERS, AUDITOR):
            role = "auditor" if name == AUDITOR else "owner"
            invited = self.admin("owner", "invite", name, "--role", role, "--json")
            code = self.file("invitation", json.loads(invited)["code"])
            self.custodian("enrol", "--invitation-file", code, "--password-file", self.password_file(name))
            self.done(f"{name} ({role})")

    def enrol_signer(self) -> None:
        self.step(f"The signer {SIGNER} enrols; its identity key never leaves it.")
        code = json.loads(self.admin("signer", "enrol", SIGNER, "--json"))["code"]
        self.signer(
            "enrol",
            "--dir",
            self.signer_dir,
            "--name",
            SIGNER,
            "--url",
            self.custodian_url,
            "--ca",
            self.custodian_dir / "tls.pem",
            "--invitation-file",
            self.file("invitation", code),
        )
        self.done("enrolled")

    def make_ca(self) -> None:
        self.step(
            "The CA key is made and sealed 2-of-3 inside one shut-in process. It is never on disk in clear."
        )
        self.signer(
            "init-ca",
            "--dir",
            self.signer_dir,
            "--key",
            KEY,
            "--cn",
            "Demo CA",
            "--org",
            "Custodian",
            "--policy",
            f"2 of ({', '.join(OWNERS)})",
            "--algorithm",
            self.algorithm,
            "--profiles",
            self.cfssl_policy(),
        )
        with (self.signer_dir / "signer.toml").open("a") as config:
            config.write("\n[listen]\nport = 0\n")
        self.signer_url = self.start("signer", self.signer_dir)
        self.done(f"the signer listens on {self.signer_url}, in CFSSL's API, without a key")

    # --- the main job

    def show_refusal(self) -> None:
        status, answer = self.ask_certificate()
        if status == 200:
            raise SystemExit("the signer issued a certificate without a quorum")
        self.done(f"{RED}refused{PLAIN}: {answer['errors'][0]['message']}")

    def delegate(self, owner: str, uses: int = 100) -> str:
        granted = json.loads(
            self.owner(
                owner, "delegate", KEY, "--signer", SIGNER, "--uses", str(uses), "--for", "1h", "--json"
            )
        )
        self.done(f"{owner} lends {granted['uses']} uses until {granted['end']}")
        return str(granted["id"])

    def issue(self) -> None:
        if shutil.which("cfssl"):
            certificate = self.issue_with_cfssl()
        else:
            status, answer = self.ask_certificate()
            if status != 200:
                raise SystemExit(f"no certificate: {answer['errors'][0]['message']}")
            certificate = answer["result"]["certificate"]
        parsed = x509.load_pem_x509_certificate(certificate.encode())
        parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca_certificate.read_bytes()))
        (self.directory / "www.pem").write_text(certificate)
        self.done(
            f"{GREEN}issued{PLAIN}: {parsed.subject.rfc4514_string()}, by {parsed.issuer.rfc4514_string()},"
            f" until {parsed.not_valid_after_utc:%Y-%m-%d}; its signature is right"
        )

    def issue_with_cfssl(self) -> str:
        """Have an unmodified cfssl client make a key and fetch a certificate."""
        request = {
            "CN": "www.example.com",
            "hosts": ["www.example.com"],
            "key": {"algo": "ecdsa", "size": 256},
        }
        command = [
            "cfssl",
            "gencert",
            "-remote",
            self.signer_url,
            "-profile",
            "server",
            self.file("csr.json", json.dumps(request)),
        ]
        done = subprocess.run([*map(str, command)], capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"cfssl failed: {done.stderr.decode()}")
        print(f"   {DIM}$ {' '.join(map(str, command[:6]))} csr.json{PLAIN}")
        return str(json.loads(done.stdout)["cert"])

    def ask_certificate(self) -> tuple[int, Any]:
        body = json.dumps({"certificate_request": make_csr(), "profile": "server"}).encode()
        request = urllib.request.Request(
            f"{self.signer_url}/api/v1/cfssl/sign", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def revoke(self, owner: str, delegation: str) -> None:
        """Revoke, timing from the answer to the owner's request until the key's process is gone."""
        holder = self.status()["keyholders"]["open"][0]["pid"]
        credentials = base64.b64encode(f"{owner}:{self.passwords[owner]}".encode()).decode()
        request = urllib.request.Request(
            f"{self.custodian_url}/api/v1/delegations/{delegation}",
            method="DELETE",
            headers={"Authorization": f"Basic {credentials}"},
        )
        context = ssl.create_default_context(cafile=str(self.custodian_dir / "tls.pem"))
        with urllib.request.urlopen(request, timeout=20, context=context):
            answered = time.perf_counter()
        while Path(f"/proc/{holder}").exists():
            if time.perf_counter() - answered > 5:
                raise SystemExit("the key's process is still there 5 s after the revocation")
            time.sleep(0.0005)
        took = 1000 * (time.perf_counter() - answered)
        self.done(f"the process with the key was gone {took:.1f} ms after the answer")

    def show_history(self) -> None:
        lines = self.user(AUDITOR, "history").splitlines()
        for line in lines[-9:]:
            print(f"   {line}")

    # --- plumbing

    @property
    def ca_certificate(self) -> Path:
        return self.signer_dir / f"{KEY}.pem"

    def step(self, text: str) -> None:
        self.steps += 1
        print(f"\n{BOLD}{self.steps}. {text}{PLAIN}", flush=True)

    def done(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def file(self, name: str, text: str) -> Path:
        """Write a file for this user only; it appears whole."""
        path, fresh = self.directory / name, self.directory / f".{name}"
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(text + "\n")
        return fresh.replace(path)

    def password_file(self, name: str) -> Path:
        return self.file(f"password-{name}", self.passwords[name])

    @property
    def pages_url(self) -> str:
        """Where the pages are: by a name, since browsers have no passkeys for an address."""
        return self.custodian_url.replace("127.0.0.1", "localhost") + "/"

    def cfssl_policy(self) -> Path:
        usages = ["digital signature", "key encipherment"]
        server = {"expiry": "720h", "usages": [*usages, "server auth"]}
        policy = {
            "signing": {
                "default": server,
                "profiles": {
                    "server": server,
                    "client": {"expiry": "720h", "usages": [*usages, "client auth"]},
                    "authed": server | {"auth_key": "demo"},
                },
            },
            "auth_keys": {"demo": {"type": "standard", "key": self.auth_key}},
        }
        return self.file("policy.json", json.dumps(policy, indent=2))

    def run(self, command: str, *arguments: object, user: str = "") -> str:
        environment = os.environ | {
            "CUSTODIAN_URL": self.custodian_url,
            "CUSTODIAN_CA": str(self.custodian_dir / "tls.pem"),
        }
        if user:
            environment |= {"CUSTODIAN_USER": user, "CUSTODIAN_PASSWORD_FILE": str(self.password_file(user))}
        done = subprocess.run(
            [str(BIN / command), *map(str, arguments)],
            env=environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{command} {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def custodian(self, *arguments: object) -> str:
        return self.run("custodian", *arguments)

    def signer(self, *arguments: object) -> str:
        return self.run("signer", *arguments)

    def user(self, name: str, *arguments: object) -> str:
        return self.run("custodian", *arguments, user=name)

    def admin(self, *arguments: object) -> str:
        return self.user(ADMIN, *arguments)

    def owner(self, name: str, *arguments: object) -> str:
        return self.user(name, *arguments)

    def start(self, command: str, directory: Path) -> str:
        """Start a daemon and return its URL once it answers."""
        log = (self.directory / f"{command}.log").open("wb")
        address = directory / "address"
        address.unlink(missing_ok=True)
        process = subprocess.Popen(
            [str(BIN / command), "serve", "--dir", str(directory)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.processes.append(process)
        for _ in range(600):
            if address.exists() and (url := address.read_text().strip()):
                return url
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{command} did not start:\n{(self.directory / f'{command}.log').read_text()}")

    def status(self) -> Any:
        with urllib.request.urlopen(f"{self.signer_url}/status", timeout=20) as answer:
            return json.load(answer)

    def write_environment(self) -> Path:
        values = {
            "CUSTODIAN_URL": self.custodian_url,
            "CUSTODIAN_CA": self.custodian_dir / "tls.pem",
            "PAGES_URL": self.pages_url,
            "SIGNER_URL": self.signer_url,
            "SIGNER_AUTH_KEY": self.auth_key,
            "CA_CERT": self.ca_certificate,
            "KEY_NAME": KEY,
            "SIGNER_NAME": SIGNER,
            "OWNERS": ",".join(OWNERS),
            **{f"OWNER_PASSWORD_{name.upper()}": self.passwords[name] for name in OWNERS},
            "ADMIN_NAME": ADMIN,
            "ADMIN_PASSWORD": self.passwords[ADMIN],
            "AUDITOR_NAME": AUDITOR,
            "AUDITOR_PASSWORD": self.passwords[AUDITOR],
            "CUSTODIAN_PID": self.processes[0].pid,
            "SIGNER_PID": self.processes[1].pid,
        }
        return self.file("demo.env", "\n".join(f"{name}={value}" for name, value in values.items()))

    def stop(self) -> None:
        """Stop the signer, which gives its leases back, then the custodian."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def make_csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "www.example.com")])
    names = x509.SubjectAlternativeName([x509.DNSName("www.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def story(demo: Demo, *, stay: bool) -> None:
    demo.start_custodian()
    demo.enrol_people()
    demo.enrol_signer()
    demo.make_ca()
    demo.step("Somebody asks for a certificate. Nobody has lent the key.")
    demo.show_refusal()
    demo.step("One owner lends. One is not enough.")
    demo.delegate("alice")
    demo.show_refusal()
    demo.step("A second owner lends: the quorum is complete, the key opens, the certificate is issued.")
    bobs = demo.delegate("bob")
    demo.issue()
    demo.step("Bob changes his mind.")
    demo.revoke("bob", bobs)
    demo.show_refusal()
    demo.step("The auditor reads how it went.")
    demo.show_history()
    if stay:
        demo.step("Alice and Bob lend more, so that you can try it yourself.")
        demo.delegate("alice", 10_000)
        demo.delegate("bob", 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--once", action="store_true", help="show it once and exit")
    parser.add_argument(
        "--dir", type=Path, help="keep the state here, and write DIR/demo.env for real clients"
    )
    options = parser.parse_args()
    if options.dir and (options.dir / "custodian").exists():
        parser.error(f"{options.dir} holds an earlier demo; choose another folder or remove it")
    directory = options.dir or Path(tempfile.mkdtemp(prefix="custodian-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    demo = Demo(directory.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        story(demo, stay=not options.once)
        environment = demo.write_environment()
        if not options.once:
            print(
                f"\nThe key is lent for an hour. In another terminal:\n   set -a; . {environment}; set +a\n"
                "   cfssl info -remote $SIGNER_URL\n"
                "   curl --cacert $CUSTODIAN_CA -u alice $CUSTODIAN_URL/api/v1/status\n"
                "   (alice's password is $OWNER_PASSWORD_ALICE)\n"
                f"In a browser, as alice:\n   {demo.pages_url}\n"
                "   (it warns of the certificate, which is the demo's own; revoke there, ask for another\n"
                "   certificate, and her page shows the request)\n"
                "Ctrl-C ends the demo and the key with it.",
                flush=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        print()
    finally:
        demo.stop()
        if not options.dir:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
