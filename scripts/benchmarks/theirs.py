"""The other side of a comparison: a real `cfssl serve` with a CA key of the same kind."""

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

KINDS = {
    "rsa-2048": {"algo": "rsa", "size": 2048},
    "rsa-4096": {"algo": "rsa", "size": 4096},
    "ecdsa-p256": {"algo": "ecdsa", "size": 256},
    "ecdsa-p384": {"algo": "ecdsa", "size": 384},
    "ed25519": {"algo": "ed25519", "size": 0},
}


class Cfssl:
    """`cfssl serve` on a free port; its key lies in a plain file and it records nothing."""

    def __init__(self, binary: str, directory: Path, algorithm: str, policy: Path) -> None:
        self._binary, self._directory, self._algorithm, self._policy = binary, directory, algorithm, policy
        self.name = cfssl_name(binary)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("cfssl is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        certificate, key = self._make_ca()
        port = _free_port()
        files = ["-ca", certificate, "-ca-key", key, "-config", self._policy]
        log = (self._directory / "cfssl.log").open("wb")
        self._process = subprocess.Popen(
            [self._binary, "serve", "-address", "127.0.0.1", "-port", str(port), *map(str, files)],
            stdout=log,
            stderr=log,
        )
        self.url = f"http://127.0.0.1:{port}"
        try:
            self._await(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _make_ca(self) -> tuple[Path, Path]:
        request = self._directory / "ca.json"
        request.write_text(json.dumps({"CN": "Bench CA", "key": KINDS[self._algorithm]}))
        made = subprocess.run(
            [self._binary, "gencert", "-initca", str(request)], capture_output=True, check=False
        )
        if made.returncode:
            raise UnsupportedError(f"{self.name} cannot make an {self._algorithm} CA key")
        files = self._directory / "ca.pem", self._directory / "ca-key.pem"
        for path, name in zip(files, ("cert", "key"), strict=True):
            path.write_text(json.loads(made.stdout)[name])
        return files

    def _await(self, port: int) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"cfssl did not start:\n{(self._directory / 'cfssl.log').read_text()}")


class UnsupportedError(Exception):
    """This cfssl does not know that kind of key."""


def cfssl_name(binary: str) -> str:
    """Return what the binary calls itself, with the Go that built it."""
    told = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    return f"cfssl {facts.get('Version', '?')} ({facts.get('Runtime', 'Go ?')})"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
