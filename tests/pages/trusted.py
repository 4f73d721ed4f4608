"""A certificate that a browser can be told to trust, so that passkeys work as they do for people."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custodian.tls import make_certificate

HOSTS = ("elsewhere.localhost",)


class Tls:
    """One certificate for every server of the run: a browser is told at its start what to trust."""

    def __init__(self) -> None:
        self.certificate, self.key = make_certificate(HOSTS, datetime.now(UTC))
        public = x509.load_pem_x509_certificate(self.certificate).public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.digest = base64.b64encode(hashlib.sha256(spki).digest()).decode()

    def write(self, directory: Path) -> None:
        """Take the place of the certificate that a custodian made for itself."""
        (directory / "tls.pem").write_bytes(self.certificate)
        (directory / "tls.key").write_bytes(self.key)
