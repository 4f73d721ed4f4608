"""Vectors of the lines of an envelope that restrict requests: `veto` and `rule`."""

from vectors.common import SECRET, Vectors, identity, private_key, swap, vector
from vectors.envelopes import sealed_key

POLICY = "2 of (alice, bob, carol)"
OPENERS = ("alice", "bob")
RULE = "rule: no-self-approval\n"
SIGNER = f"signer: ca-1 {identity('ca-1')}\n"


def rule_vectors() -> Vectors:
    keys = [("owner-key", f"{owner} x25519:{private_key(owner).raw.hex()}") for owner in OPENERS]
    all_wrong = [*keys, ("wrong", " ".join(OPENERS))]
    vectors: Vectors = {}
    for subject, envelope, changed, malformed in [
        ("veto", sealed_key(POLICY, "veto", veto=("carol",)), other_veto, malformed_veto),
        ("rule", sealed_key(POLICY, "rule", no_self_approval=True), other_rule, malformed_rule),
        (
            "rules",
            sealed_key(POLICY, "rules", veto=("bob", "carol"), no_self_approval=True),
            other_rules,
            malformed_rules,
        ),
    ]:
        body = bytes(envelope)
        vectors[subject] = vector("success", [*keys, ("secret", SECRET.hex())], body)
        vectors[f"{subject}_one-owner"] = vector("quorum-missing", keys[:1], body)
        freely = envelope.header + payload_without_rules(subject)
        vectors[f"{subject}_payload-without-rules"] = vector("cannot-open", keys, freely)
        for defect, data in changed(body).items():
            vectors[f"{subject}_{defect}"] = vector("cannot-open", all_wrong, data)
        for defect, data in malformed(body).items():
            vectors[f"{subject}_{defect}"] = vector("malformed", keys, data)
    return vectors


def payload_without_rules(subject: str) -> bytes:
    """Return the payload that the same seed and nonce make under a header without rules."""
    free = sealed_key(POLICY, subject)
    return bytes(free).removeprefix(free.header)


def other_veto(body: bytes) -> Vectors:
    """Another veto than the shares were sealed under: none opens."""
    return {
        "veto-dropped": swap(body, "veto: carol\n", ""),
        "veto-of-another": swap(body, "veto: carol\n", "veto: bob\n"),
        "veto-added": swap(body, "veto: carol\n", "veto: bob\nveto: carol\n"),
        "rule-added": swap(body, SIGNER, RULE + SIGNER),
    }


def malformed_veto(body: bytes) -> Vectors:
    line = "veto: carol\n"
    policy = f"policy: {POLICY}\n"
    return {
        "veto-of-a-stranger": swap(body, line, "veto: mallory\n"),
        "veto-of-a-stranger-too": swap(body, line, line + "veto: mallory\n"),
        "veto-of-a-signer": swap(body, line, "veto: ca-1\n"),
        "veto-of-nobody": swap(body, line, "veto: \n"),
        "veto-of-two": swap(body, line, "veto: bob carol\n"),
        "veto-twice": swap(body, line, line + line),
        "veto-before-policy": swap(body, policy + line, line + policy),
        "veto-after-signer": swap(body, line + SIGNER, SIGNER + line),
        "veto-in-upper-case": swap(body, line, "veto: Carol\n"),
        "field-in-upper-case": swap(body, line, "Veto: carol\n"),
    }


def other_rule(body: bytes) -> Vectors:
    return {
        "rule-dropped": swap(body, RULE, ""),
        "veto-added": swap(body, RULE, "veto: carol\n" + RULE),
        "veto-instead": swap(body, RULE, "veto: carol\n"),
    }


def malformed_rule(body: bytes) -> Vectors:
    policy = f"policy: {POLICY}\n"
    return {
        "rule-unknown": swap(body, RULE, "rule: two-eyes\n"),
        "rule-unknown-too": swap(body, RULE, RULE + "rule: two-eyes\n"),
        "rule-empty": swap(body, RULE, "rule: \n"),
        "rule-of-two-words": swap(body, RULE, "rule: no-self-approval strictly\n"),
        "rule-twice": swap(body, RULE, RULE + RULE),
        "rule-before-policy": swap(body, policy + RULE, RULE + policy),
        "rule-after-signer": swap(body, RULE + SIGNER, SIGNER + RULE),
        "rule-in-upper-case": swap(body, RULE, "rule: No-Self-Approval\n"),
    }


def other_rules(body: bytes) -> Vectors:
    return {
        "vetoes-dropped": swap(body, "veto: bob\nveto: carol\n", ""),
        "first-veto-dropped": swap(body, "veto: bob\n", ""),
        "last-veto-dropped": swap(body, "veto: carol\n", ""),
        "veto-added": swap(body, "veto: bob\n", "veto: alice\nveto: bob\n"),
        "rule-dropped": swap(body, RULE, ""),
        "all-dropped": swap(body, "veto: bob\nveto: carol\n" + RULE, ""),
    }


def malformed_rules(body: bytes) -> Vectors:
    return {
        "vetoes-reordered": swap(body, "veto: bob\nveto: carol\n", "veto: carol\nveto: bob\n"),
        "rule-before-veto": swap(body, "veto: bob\nveto: carol\n" + RULE, RULE + "veto: bob\nveto: carol\n"),
        "rule-between-vetoes": swap(body, "veto: carol\n" + RULE, RULE + "veto: carol\n"),
    }
