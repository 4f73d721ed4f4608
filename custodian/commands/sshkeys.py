"""SSH keys that owners have already, used by `ssh-keygen`: with an agent, a token or a file.

The private key stays where it is; what is signed are digests, in a namespace of ours, so that no signature
made for another purpose is one for us.
"""

import hashlib
import subprocess
from pathlib import Path

from custodian.client import read_secret
from custodian.encoding import encode_base64
from custodian.errors import Unavailable
from custodian.events import Evidence
from custodian.evidence import NAMESPACE
from custodian.sshsig import SshKey, parse_ssh_key


def read_ssh_key(file: Path) -> SshKey:
    """Return the public key of a `.pub` file, or of a private key's file that has its `.pub` beside it.

    Raises:
        BadInput: it cannot be read. FormatError: it is no key that we can verify.
    """
    public = file if file.suffix == ".pub" else Path(f"{file}.pub")
    return parse_ssh_key(read_secret(str(public)), str(public))


def ssh_credential(key: SshKey) -> str:
    """Return the id under which the custodian knows an SSH key: it follows from the key."""
    return f"ssh-{hashlib.sha256(key.blob).hexdigest()[:12]}"


def sign_with_ssh(file: Path, message: bytes) -> Evidence:
    """Sign the digest of `message`. Raises Unavailable if ssh-keygen has no such key, or nobody agreed."""
    command = ("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE.decode(), "-f", str(file))
    digest = hashlib.sha256(message).hexdigest()
    try:
        done = subprocess.run(command, input=f"{digest}\n".encode(), stdout=subprocess.PIPE, check=True)
    except FileNotFoundError:
        raise Unavailable("ssh-keygen is not there; install OpenSSH 8.1 or later") from None
    except subprocess.CalledProcessError:
        raise Unavailable(f"ssh-keygen did not sign with {file}; it said why above") from None
    credential = ssh_credential(read_ssh_key(file))
    return Evidence(kind="ssh", credential=credential, signature=encode_base64(done.stdout))
