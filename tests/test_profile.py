import copy
import json
from datetime import timedelta
from pathlib import Path

import pytest
from ca_in_memory import AUTH_KEY, NO_SOURCES, POLICY, policy_of

from custodian.errors import BadInput
from signer.errors import CfsslError
from signer.profile import Sources, parse_policy

EXAMPLE = Path(__file__).parent.parent / "config" / "cfssl.json"


def changed(path: str, value: object) -> dict:
    """Return POLICY with one field set; `path` is dotted."""
    policy = copy.deepcopy(POLICY)
    *parents, last = path.split(".")
    here = policy
    for name in parents:
        here = here.setdefault(name, {})
    here[last] = value
    return policy


def refusal(policy: object) -> str:
    with pytest.raises(BadInput) as refused:
        policy_of(policy)
    return refused.value.detail


def test_a_policy_file_becomes_profiles():
    policy = policy_of(POLICY)
    server, authed = policy.profile("server"), policy.profile("authed")
    assert server.expiry == timedelta(hours=720)
    assert server.expiry_text == "720h"
    assert server.backdate == timedelta(minutes=5)
    assert server.usages == ("digital signature", "key encipherment", "server auth")
    assert server.auth_keys == ()
    assert authed.auth_keys == (bytes.fromhex(AUTH_KEY),)


def test_the_example_policy_in_config_can_be_read():
    sources = Sources(environment={"SIGNER_AUTH_KEY": "ab" * 32}.get, read_file={}.get)
    policy = parse_policy(EXAMPLE.read_bytes(), sources)
    assert set(policy.profiles) == {"default", "server", "intermediate"}
    assert all(profile.auth_keys == (b"\xab" * 32,) for profile in policy.profiles.values())
    assert policy.profile("intermediate").path_length == 0


def test_no_profile_named_means_the_default_one():
    policy = policy_of(POLICY)
    assert policy.profile("") is policy.profile("default")


def test_an_unknown_profile_is_refused_instead_of_taken_for_the_default():
    with pytest.raises(CfsslError, match="Unknown policy profile") as refused:
        policy_of(POLICY).profile("servre")
    assert refused.value.number == 5400


def test_a_file_without_a_default_profile_has_none():
    policy = policy_of({"signing": {"profiles": POLICY["signing"]["profiles"]}} | _keys())
    with pytest.raises(CfsslError, match="Unknown policy profile"):
        policy.profile("")


def _keys() -> dict:
    return {"auth_keys": POLICY["auth_keys"]}


def test_field_names_match_in_any_case_as_in_go():
    profile = {"Expiry": "24h", "USAGES": ["signing"]}
    assert policy_of({"Signing": {"Default": profile}}).profile("").usages == ("signing",)


def test_profiles_inherit_the_urls_of_the_default_but_not_its_key_or_usages():
    default = {
        "expiry": "24h",
        "usages": ["signing"],
        "auth_key": "key1",
        "issuer_urls": ["http://ca.example/ca.der"],
        "ocsp_url": "http://ocsp.example",
        "crl_url": "http://ca.example/crl",
    }
    plain = {"expiry": "48h", "usages": ["client auth"]}
    other = plain | {"crl_url": "http://other.example/crl", "issuer_urls": []}
    profiles = {"plain": plain, "other": other}
    policy = policy_of({"signing": {"default": default, "profiles": profiles}} | _keys())
    assert policy.profile("plain").crl_url == "http://ca.example/crl"
    assert policy.profile("plain").ocsp_url == "http://ocsp.example"
    assert policy.profile("plain").issuer_urls == ("http://ca.example/ca.der",)
    assert policy.profile("plain").auth_keys == ()
    assert policy.profile("plain").usages == ("client auth",)
    assert policy.profile("other").crl_url == "http://other.example/crl"
    assert policy.profile("other").issuer_urls == ()


def test_a_key_can_come_from_the_environment_or_a_file():
    sources = Sources(environment={"KEY": "aa" * 16}.get, read_file={"/etc/key": " " + "BB" * 16 + "\n"}.get)
    policy = changed("auth_keys.key2", {"type": "standard", "key": "file:/etc/key"})
    policy["auth_keys"]["key1"]["key"] = "env:KEY"
    policy["signing"]["profiles"]["authed"]["prev_auth_key"] = "key2"
    read = parse_policy(json.dumps(policy).encode(), sources)
    assert read.profile("authed").auth_keys == (b"\xaa" * 16, b"\xbb" * 16)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8760h", 31536000), ("1h30m", 5400), ("1.5h", 5400), ("720s", 720), ("600000ms", 600)],
)
def test_an_expiry_is_a_go_duration(text, seconds):
    policy = policy_of(changed("signing.default.expiry", text))
    assert policy.profile("").expiry == timedelta(seconds=seconds)


@pytest.mark.parametrize("backdate", ["", "0", "0s"])
def test_no_backdate_means_five_minutes_as_in_cfssl(backdate):
    policy = policy_of(changed("signing.default.backdate", backdate))
    assert policy.profile("").backdate == timedelta(minutes=5)


SERVER = "signing.profiles.server"


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("signing", None, "signing"),
        ("signing", {}, "signing"),
        ("signing", [], "signing"),
        ("signing.profiles.server", "24h", SERVER),
        ("signing.profiles.default", {}, "signing.profiles"),
        (f"{SERVER}.expiry", None, f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "0", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "0h", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "-24h", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "1y", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "1h ", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", 24, f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "5m", f"{SERVER}.expiry"),
        (f"{SERVER}.expiry", "2562048h", f"{SERVER}.expiry"),
        (f"{SERVER}.backdate", "-1h", f"{SERVER}.backdate"),
        (f"{SERVER}.backdate", "720h", f"{SERVER}.expiry"),
        (f"{SERVER}.usages", None, f"{SERVER}.usages"),
        (f"{SERVER}.usages", [], f"{SERVER}.usages"),
        (f"{SERVER}.usages", "signing", f"{SERVER}.usages"),
        (f"{SERVER}.usages", ["signing", "server"], f"{SERVER}.usages[1]"),
        (f"{SERVER}.usages", ["signing", "Server Auth"], f"{SERVER}.usages[1]"),
        (f"{SERVER}.usages", ["signing", 7], f"{SERVER}.usages[1]"),
        (f"{SERVER}.usages", ["encipher only"], f"{SERVER}.usages[0]"),
        (f"{SERVER}.usages", ["cert sign"], f"{SERVER}.ca_constraint.is_ca"),
        (f"{SERVER}.ca_constraint", {"is_ca": True}, f"{SERVER}.ca_constraint.is_ca"),
        (f"{SERVER}.ca_constraint", {"is_ca": "yes"}, f"{SERVER}.ca_constraint.is_ca"),
        (f"{SERVER}.ca_constraint", {"max_path_len": 1}, f"{SERVER}.ca_constraint.max_path_len"),
        (f"{SERVER}.ca_constraint", {"max_path_len": -1}, f"{SERVER}.ca_constraint.max_path_len"),
        (f"{SERVER}.ca_constraint", {"pathlen": 1}, f"{SERVER}.ca_constraint.pathlen"),
        (f"{SERVER}.name_whitelist", "(", f"{SERVER}.name_whitelist"),
        (f"{SERVER}.auth_key", "nope", f"{SERVER}.auth_key"),
        (f"{SERVER}.auth_key", "", f"{SERVER}.auth_key"),
        (f"{SERVER}.prev_auth_key", "key1", f"{SERVER}.prev_auth_key"),
        (f"{SERVER}.crl_url", "ca.example/crl", f"{SERVER}.crl_url"),
        (f"{SERVER}.ocsp_url", "http://a b", f"{SERVER}.ocsp_url"),
        (f"{SERVER}.issuer_urls", ["http://a", "x"], f"{SERVER}.issuer_urls[1]"),
        (f"{SERVER}.useages", ["signing"], f"{SERVER}.useages"),
        (f"{SERVER}.hosts", ["a.example"], f"{SERVER}.hosts"),
        ("auth_keys.key1.type", "", "auth_keys.key1.type"),
        ("auth_keys.key1.type", "hmac", "auth_keys.key1.type"),
        ("auth_keys.key1.secret", "x", "auth_keys.key1.secret"),
        ("logging", {}, "logging"),
    ],
)
def test_a_useless_value_is_refused_with_its_path(path, value, at):
    assert refusal(changed(path, value)).startswith(f"{at}: ")


@pytest.mark.parametrize("key", ["", "00", "ab" * 15, "abc", "zz" * 16, "env:UNSET", "file:/no"])
def test_a_key_that_anybody_could_guess_is_refused_even_if_no_profile_uses_it(key):
    policy = changed("auth_keys.spare", {"type": "standard", "key": key})
    assert refusal(policy).startswith("auth_keys.spare.key: ")


def test_a_key_file_that_cannot_be_read_is_refused_with_its_path(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff" * 16)
    sources = Sources({}.get, lambda name: (tmp_path / name).read_text("utf-8"))
    for name in ("binary", "missing", "."):
        policy = changed("auth_keys.spare", {"type": "standard", "key": f"file:{name}"})
        with pytest.raises(BadInput, match=r"auth_keys\.spare\.key: must be"):
            parse_policy(json.dumps(policy).encode(), sources)


def test_a_refused_key_is_not_told():
    assert "5eC2E7" not in refusal(changed("auth_keys.key1.key", "5eC2E7"))
    assert "5eC2E7" not in refusal(changed("auth_keys.key1.key", "vault:5eC2E7"))


def test_keys_do_not_show_in_the_repr():
    assert repr(bytes.fromhex(AUTH_KEY)) not in repr(policy_of(POLICY))


@pytest.mark.parametrize(
    "name",
    [
        "CSRWhitelist",
        "csr_whitelist",
        "copy_extensions",
        "allowed_extensions",
        "Policies",
        "remote",
        "auth_remote",
        "ClientProvidesSerialNumbers",
        "ct_log_servers",
        "lint_error_level",
        "ignored_lints",
        "ignored_lint_sources",
        "not_before",
        "not_after",
        "cert_store",
    ],
)
def test_a_field_of_cfssl_that_is_not_supported_yet_is_said_to_be_so(name):
    text = refusal(changed(f"{SERVER}.{name}", True))
    assert text.startswith(f"{SERVER}.{name.lower()}: is not supported yet")


def test_a_typo_is_answered_with_the_word_that_was_meant():
    assert "did you mean usages?" in refusal(changed(f"{SERVER}.useages", []))
    assert "did you mean 'server auth'?" in refusal(changed(f"{SERVER}.usages", ["servr auth"]))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"signing":{},"signing":{}}', b"\xff"])
def test_a_file_that_is_not_one_json_object_is_refused(data):
    with pytest.raises(BadInput, match="policy: "):
        parse_policy(data, NO_SOURCES)
