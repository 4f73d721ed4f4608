"""signer.toml is a closed form: what it does not know, or cannot mean, is named."""

from pathlib import Path

import pytest

from custodian.errors import BadInput
from signer.config import load_config

WHOLE = """
name = "ca-1"
[custodian]
url = "https://127.0.0.1:8443"
"""


def load(directory: Path, text: str | bytes) -> object:
    path = directory / "signer.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(directory)


def test_what_enrolling_writes_is_enough(tmp_path: Path) -> None:
    config = load_config_of(tmp_path)
    assert (config.name, config.ca) == ("ca-1", None)
    assert (config.listen.host, config.listen.port, config.listen.max_body) == ("127.0.0.1", 8888, 65_536)
    assert (config.lease.grace, config.lease.secret_memory, config.lease.sync_records) == (5, True, True)


def load_config_of(directory: Path, more: str = ""):  # type: ignore[no-untyped-def]
    load(directory, WHOLE + more)
    return load_config(directory)


def test_a_lease_is_never_asked_for_less_than_the_least(tmp_path: Path) -> None:
    policy = load_config_of(tmp_path, "[lease]\nuses = 50\nmost_uses = 5\nidle = 1.5\n").lease.policy()
    assert (policy.uses, policy.most_uses, policy.idle) == (50, 50, 1.5)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("[lease]\ngrace = 0\n", "lease.grace"),
        ("[lease]\nuses = 0\n", "lease.uses"),
        ("[lease]\nuses = -1\n", "lease.uses"),
        ('[lease]\nuses = "10"\n', "lease.uses"),
        ("[lease]\nseconds = 100000\n", "lease.seconds"),
        ("[lease]\nidle = nan\n", "lease.idle"),
        ('[lease]\nsecret_memory = "no"\n', "lease.secret_memory"),
        ("[lease]\npatience = 3\n", "lease.patience"),
        ("[listen]\nport = 65536\n", "listen.port"),
        ("[listen]\nprocesses = 0\n", "listen.processes"),
        ("[listen]\nmax_body = 10\n", "listen.max_body"),
        ('[ca]\nkey = "ca"\n', "ca.certificate"),
        ("[lesae]\n", "lesae"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, more: str, where: str) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, WHOLE + more)
    assert refused.value.field == f"{tmp_path / 'signer.toml'}: {where}"


@pytest.mark.parametrize(
    "text", ["", "name = 'ca-1'", "name = 'Not A Name'\n[custodian]\nurl = 'x'", "{", b"\xff"]
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(BadInput, match=r"signer\.toml"):
        load(tmp_path, text)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`signer enrol` makes it"):
        load_config(tmp_path)
