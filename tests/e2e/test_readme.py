"""The README's "Use it" works as it stands: its commands, typed at a terminal, on ports that are free."""

import os
import pty
import re
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from signing import free_port

README = (Path(__file__).parents[2] / "README.md").read_text().partition("## Use it")[2]
SETUP, CLIENT, USE = re.findall(r"```\w*\n(.*?)```", README, re.DOTALL)[:3]
BIN = Path(sys.executable).parent
OWNERS = ("alice", "bob", "carol")
PATIENCE = 60  # seconds a command may take on a busy machine


@dataclass
class Terminal:
    """Types commands in one directory and answers what they ask."""

    directory: Path
    url: str
    answers: dict[str, str] = field(default_factory=dict)  # how a prompt begins -> the answer
    running: list[int] = field(default_factory=list)

    def type(self, line: str) -> str:
        """Run one line of the README; return what the terminal showed."""
        words = shlex.split(line, comments=True)
        background = words[-1] == "&"
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.directory)
            os.environ["CUSTODIAN_URL"], os.environ["CUSTODIAN_CA"] = self.url, "ca-custody/tls.pem"
            arguments = [os.path.expandvars(word) for word in words if word != "&"]
            os.execv(BIN / words[0], arguments)  # noqa: S606
        if background:
            self.running.append(child)
            return self._read(terminal, until=b" listens on ")
        shown = self._read(terminal)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            time.sleep(1)  # the terminal closes a moment before the program is gone
            os.kill(child, signal.SIGKILL)  # it is gone, or it hangs
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"{line}\n{shown}"
        return shown

    def _read(self, terminal: int, until: bytes = b"") -> str:
        shown, unanswered = b"", b""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not (until and until in shown):
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the program has ended
                break
            shown, unanswered = shown + data, unanswered + data
            if unanswered.rstrip().endswith(b":"):
                os.write(terminal, self._answer(unanswered.decode()).encode() + b"\n")
                unanswered = b""
        return shown.decode().replace("\r\n", "\n")

    def _answer(self, asked: str) -> str:
        prompt = asked.strip().splitlines()[-1]
        return next(
            (answer for start, answer in self.answers.items() if prompt.startswith(start)), "no answer"
        )


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, f"https://127.0.0.1:{free_port()}")
    made.answers = {f"Password of {name}": password(name) for name in ("admin", *OWNERS)}
    yield made
    for pid in reversed(made.running):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def password(name: str) -> str:
    return f"long password of {name}"


def code(shown: str) -> str:
    return re.findall(r"^ {4}([a-z2-7]{32})$", shown, re.MULTILINE)[0]


def command(start: str) -> str:
    """Return the line of the README that begins like this, as a person would type it."""
    return next(line for line in (SETUP + USE).splitlines() if line.startswith(start))


def test_its_commands_make_a_ca_lend_it_and_take_it_back(terminal: Terminal) -> None:
    set_up(terminal)
    lent = [terminal.type(line) for line in SETUP.splitlines() if line.startswith("custodian delegate")]
    issue(terminal)
    assert "is open to ca-1" in terminal.type(command("custodian status"))
    assert "lent their share of ca" in terminal.type(command("custodian history"))
    revoke = re.findall(r"custodian revoke d-[0-9a-f]{24} -u bob", lent[1])
    assert re.sub("d-[0-9a-f]{24}", "", revoke[0]) == re.sub(
        "d-[0-9a-f]{24}", "", command("custodian revoke")
    )
    assert "is revoked" in terminal.type(revoke[0])


def set_up(terminal: Terminal) -> None:
    listen = terminal.url.removeprefix("https://")
    terminal.answers["Repeat for confirmation"] = password("admin")
    terminal.type(f"{command('custodian init')} --listen {listen}")
    terminal.type(command("custodian serve"))
    for name in OWNERS:
        terminal.answers["Invitation"] = code(
            terminal.type(command("custodian owner invite").replace("alice", name))
        )
        terminal.answers["Your new password"] = terminal.answers["Repeat for confirmation"] = password(name)
        terminal.type(command("custodian enrol"))
    terminal.answers["Invitation"] = code(terminal.type(command("custodian signer enrol")))
    terminal.type(command("signer enrol"))
    assert "is sealed for 2 of (alice, bob, carol)" in terminal.type(command("signer init-ca"))
    with (terminal.directory / "signer-state" / "signer.toml").open("a") as config:
        config.write("\n[listen]\nport = 0\n")
    terminal.type(command("signer serve"))


def issue(terminal: Terminal) -> None:
    """With the client's configuration that the README shows, and the real cfssl if there is one."""
    state = terminal.directory / "signer-state"
    key = (state / "auth.key").read_text().strip()
    client = re.sub(r'"[0-9a-f]{16}…"', f'"{key}"', CLIENT)
    assert key in client
    client = client.replace("http://127.0.0.1:8888", (state / "address").read_text().strip())
    (terminal.directory / "client.json").write_text(client)
    (terminal.directory / "csr.json").write_text('{"CN": "www.example.com", "hosts": ["www.example.com"]}')
    if shutil.which("cfssl"):
        assert os.system(f"cd {terminal.directory} && {command('cfssl gencert')} 2> cfssl.log") == 0  # noqa: S605
        assert (terminal.directory / "www.pem").exists(), (terminal.directory / "cfssl.log").read_text()
        assert "9 of 10 uses left" in terminal.type(command("signer status"))
