"""Our side of a measurement: a real custodian and a real signer, set up as the demo does it."""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from demo import KEY, SIGNER, Demo

from benchmarks import processes

USES = 1_000_000
BORROWERS = ("alice", "bob")  # two owners of the three; they are a quorum
PATIENCE = 60.0  # seconds


class Caller:
    """One kept connection to the custodian, with the credentials of one account."""

    def __init__(self, demo: Demo, authorization: str) -> None:
        address = urlsplit(demo.custodian_url)
        context = ssl.create_default_context(cafile=str(demo.custodian_dir / "tls.pem"))
        self._connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=PATIENCE, context=context
        )
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}

    def __call__(self, verb: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body)
        self._connection.request(verb, f"/api/v1{path}", data, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{verb} {path} was refused: {content.decode()}")
        return json.loads(content)


class Ours(Demo):
    """A custodian and a signer without the demo's words; `lease` is the signer's `[lease]` section."""

    def __init__(self, directory: Path, algorithm: str = "ecdsa-p256", **lease: object) -> None:
        directory.mkdir(parents=True)
        super().__init__(directory, algorithm)
        self._lease = lease

    def __enter__(self) -> Self:
        try:
            self.start_custodian()
            self.enrol_people()
            self.enrol_signer()
            self.make_ca()
            self._follow()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def step(self, text: str) -> None:
        """Say nothing: the figures are what is wanted."""

    def done(self, text: str) -> None:
        """Say nothing."""

    def start(self, command: str, directory: Path) -> str:
        if command == "signer" and self._lease:
            lines = [f"{name} = {json.dumps(value)}\n" for name, value in self._lease.items()]
            with (directory / "signer.toml").open("a") as config:
                config.write("\n[lease]\n" + "".join(lines))
        return super().start(command, directory)

    def lend(self, uses: int = USES) -> None:
        """Make the quorum live."""
        for owner in BORROWERS:
            self.delegate(owner, uses)

    def as_owner(self, name: str) -> Caller:
        credentials = base64.b64encode(f"{name}:{self.passwords[name]}".encode()).decode()
        return Caller(self, f"Basic {credentials}")

    def as_signer(self) -> Caller:
        return Caller(self, f"Bearer {(self.signer_dir / 'token').read_text().strip()}")

    def status(self) -> Any:
        try:
            return super().status()
        except OSError as error:
            log = (self.directory / "signer.log").read_text()[-2000:]
            raise SystemExit(f"the signer does not say how it is ({error}); its log ends:\n{log}") from None

    def open_keyholders(self) -> list[int]:
        return [each["pid"] for each in self.status()["keyholders"]["open"]]

    def settle(self, *, closed: bool = False) -> float:
        """Wait until the custodian has every record and, if asked for, no key is open; return seconds."""
        start = time.perf_counter()
        while time.perf_counter() - start < PATIENCE:
            status = self.status()
            if status["records_owed"] == 0 and not (closed and status["keyholders"]["open"]):
                return time.perf_counter() - start
            time.sleep(0.05)
        raise SystemExit(f"the signer did not come to rest in {PATIENCE:g} s: {status}")

    def parts(self) -> dict[str, set[int]]:
        """Return the processes by part."""
        custodian, signer = (processes.tree(each.pid) for each in self.processes)
        holders = processes.tree(self.status()["broker"]["pid"])
        return {"API": signer - holders, "keyholders": holders, "custodian": custodian}

    def _follow(self) -> None:
        """Wait until the signer hears the custodian's stream: without it no key opens."""
        for _ in range(200):
            if self.status()["custodian"] == "connected":
                return
            time.sleep(0.05)
        raise SystemExit("the signer does not hear the custodian")


__all__ = ["KEY", "SIGNER", "Caller", "Ours"]
