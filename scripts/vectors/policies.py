"""Vectors of policies, and of shares that were dealt by them."""

from Crypto.Protocol import SecretSharing

from custodian.policy import parse_policy
from custodian.shares import commit, split
from vectors.common import KEY_ID, OTHER_ID, Vectors, random_from, vector

POLICIES = {
    "threshold": ("2 of (alice, bob, carol)", ["alice bob", "alice carol", "bob carol"], ["alice", ""]),
    "nested": (
        "2 of (alice, bob, 1 of (carol, dave))",
        ["alice bob", "alice carol", "bob dave"],
        ["carol dave", "alice"],
    ),
    "sugar": ("alice & (bob | carol)", ["alice bob", "alice carol"], ["bob carol", "alice"]),
    "precedence": ("alice & bob | carol & dave", ["alice bob", "carol dave"], ["alice dave", "bob carol"]),
    "blanks": ("\t2of(alice,bob ,\r\n carol) ", ["alice bob"], ["alice"]),
    "names": ("2 of (of, a.b_c-9, bob)", ["of bob"], ["of"]),
}
BAD_POLICIES = {
    "threshold_empty": "",
    "threshold_too-many-needed": "4 of (alice, bob, carol)",
    "threshold_none-needed": "0 of (alice, bob, carol)",
    "threshold_leading-zero": "02 of (alice, bob, carol)",
    "threshold_name-twice": "2 of (alice, bob, alice)",
    "threshold_upper-case": "2 of (Alice, bob, carol)",
    "threshold_unclosed": "2 of (alice, bob, carol",
    "threshold_text-after-end": "2 of (alice, bob, carol) dave",
    "threshold_comma-at-end": "2 of (alice, bob, carol,)",
    "threshold_no-break-space": "2 of (alice,\u00a0bob, carol)",
    "threshold_arabic-digit": "\u0662 of (alice, bob, carol)",
    "threshold_name-too-long": f"2 of (alice, bob, {'c' * 64})",
    "threshold_too-long": "2 of (alice, bob, carol)" + " " * 16_384,
    "threshold_256-members": f"2 of ({', '.join(f'a{n}' for n in range(256))})",
    "nested_one-owner-alone": "1 of (alice, 2 of (bob, carol))",
    "nested_name-twice": "2 of (alice, bob, 1 of (carol, alice))",
    "nested_too-deep": "2 of (a, " * 9 + "b, c" + ")" * 9,
    "sugar_doubled": "alice && bob",
    "sugar_one-owner-alone": "alice | bob & carol",
    "sugar_nothing-after": "alice &",
    "sugar_name-twice": "alice & (bob | alice)",
    "precedence_one-owner-alone": "alice | bob",
    "nested_empty-group": "2 of (alice, bob, 1 of ())",
    "names_other-character": "2 of (of, a.b_c/9, bob)",
    "sugar_too-deep-when-written-out": "(((((a & b | c & d) & e | f) & g | h) & i | j) & k | l) & m | n & o",
}


def policy_vectors() -> Vectors:
    vectors = {
        name: vector(
            "success",
            [
                ("canonical", str(parse_policy(text))),
                *(("opens", owners) for owners in opens),
                *(("stays-shut", owners) for owners in shut),
            ],
            text.encode(),
        )
        for name, (text, opens, shut) in POLICIES.items()
    }
    return vectors | {name: vector("malformed", [], text.encode()) for name, text in BAD_POLICIES.items()}


def share_vectors() -> Vectors:
    vectors: Vectors = {}
    seed = random_from("seed")(16)
    for subject, text, brought in [
        ("threshold", "2 of (alice, bob, carol)", ("alice", "carol")),
        ("nested", "2 of (alice, bob, 1 of (carol, dave))", ("bob", "dave")),
        ("inner-threshold", "1 of (2 of (alice, bob), 3 of (carol, dave, erin))", ("carol", "dave", "erin")),
    ]:
        SecretSharing.rng = random_from(f"polynomials {subject}")
        shares = split(parse_policy(text), seed, random_from(f"blinds {subject}"))
        first, second = brought[:2]
        mine = {owner: shares[owner] for owner in brought}

        def made(
            expect: str,
            shares_brought: dict[str, bytes],
            *more: tuple[str, str],
            key_id: str = KEY_ID,
            text: str = text,
            shares: dict[str, bytes] = shares,
        ) -> bytes:
            commitments = [(owner, commit(share, KEY_ID, owner)) for owner, share in shares.items()]
            return vector(
                expect,
                [
                    ("policy", text),
                    ("key-id", key_id),
                    *(("commitment", f"{owner} {value.hex()}") for owner, value in commitments),
                    *(("share", f"{owner} {value.hex()}") for owner, value in shares_brought.items()),
                    *more,
                ],
            )

        flipped = bytes([mine[first][0] ^ 1]) + mine[first][1:]
        other_blind = mine[first][:-1] + bytes([mine[first][-1] ^ 1])
        vectors |= {
            subject: made("success", mine, ("seed", seed.hex())),
            f"{subject}_too-few": made("quorum-missing", {first: mine[first]}),
            f"{subject}_none": made("quorum-missing", {}),
            f"{subject}_wrong-value": made("cannot-open", mine | {first: flipped}, ("wrong", first)),
            f"{subject}_wrong-blind": made("cannot-open", mine | {first: other_blind}, ("wrong", first)),
            f"{subject}_swapped": made(
                "cannot-open",
                mine | {first: mine[second], second: mine[first]},
                ("wrong", f"{first} {second}"),
            ),
            f"{subject}_short": made("cannot-open", mine | {first: mine[first][:47]}, ("wrong", first)),
            f"{subject}_other-key": made("cannot-open", mine, ("wrong", " ".join(brought)), key_id=OTHER_ID),
            f"{subject}_stranger": made("cannot-open", mine | {"mallory": mine[first]}, ("wrong", "mallory")),
        }
    return vectors
