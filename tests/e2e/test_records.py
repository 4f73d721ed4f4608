"""Every signature is in the history, whatever dies in between."""

import hashlib
import os
import signal
import time
from typing import Any

from cryptography import x509
from running import wait_until
from signing import Site


def records(site: Site) -> dict[str, Any]:
    """Return the recorded signatures by the hash of what was signed."""
    told = site.world.history()
    return {each["tbs_sha256"]: each for each in told if each["type"] == "signature.recorded"}


def fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()


def test_each_certificate_is_in_the_history_as_it_was_issued(site: Site) -> None:
    site.world.lend(uses=100)
    issued = [site.signer.issue() for _ in range(12)]
    wait_until(lambda: {fingerprint(each) for each in issued} <= set(records(site)))
    told = records(site)
    for certificate in issued:
        record = told[fingerprint(certificate)]
        assert int(record["serial"], 16) == certificate.serial_number
        assert record["names"] == ["www.example.com"]
        assert record["not_after"] == certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert record["actor"] == {"role": "signer", "name": "ca-1"}
    assert site.signer.status()["records_owed"] == 0


def test_records_survive_a_signer_that_is_killed_before_it_hands_them_in(site: Site) -> None:
    site.world.lend(uses=100)
    site.signer.issue()
    wait_until(lambda: site.signer.status()["records_owed"] == 0)
    os.kill(site.daemon.pid, signal.SIGSTOP)
    try:
        issued = [site.signer.issue() for _ in range(3)]
        site.signer.stop(signal.SIGKILL)
    finally:
        os.kill(site.daemon.pid, signal.SIGCONT)
    assert not {fingerprint(each) for each in issued} & set(records(site))
    journal = site.signer.directory / "journal.jsonl"
    assert all(fingerprint(each) in journal.read_text() for each in issued)
    site.signer.start()
    wait_until(lambda: {fingerprint(each) for each in issued} <= set(records(site)))
    site.world.lend()
    site.signer.issue()


def test_records_that_are_sent_twice_are_told_once(site: Site) -> None:
    """The custodian took them, but the signer died before it heard so."""
    site.world.lend(uses=100)
    issued = site.signer.issue()
    wait_until(lambda: fingerprint(issued) in records(site))
    journal = site.signer.directory / "journal.jsonl"
    kept = journal.read_bytes()
    assert fingerprint(issued).encode() in kept
    site.signer.stop()
    journal.write_bytes(kept)
    before = site.world.size()
    site.signer.start()
    time.sleep(0.5)
    assert "signature.recorded" not in site.world.events(before)
    assert site.signer.status()["records_owed"] == 0
