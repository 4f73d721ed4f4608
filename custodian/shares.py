"""Split a 16-byte seed over the owners of a policy, and join it again.

Each threshold node splits its 16 bytes by Shamir over GF(2^128) among its members; a member that is a
policy splits what it got in turn. A node that needs one member gives each member its own 16 bytes.

What an owner holds is `value (16) || blind (32)`. The commitment to it is public and hides it:

    commitment = HMAC-SHA-256(key = blind, "custodian/share/v1" 0x00 key-id 0x00 owner 0x00 value)

so a wrong or swapped share is known, and its owner named, before anything is joined. PyCryptodome's
Shamir accepts k > n, k = 1 and index 0 and joins wrong shares in silence; here the policy rules out the
first three and the commitments the last.
"""

import hmac
from collections.abc import Callable, Mapping

from Crypto.Protocol.SecretSharing import Shamir

from custodian.errors import CannotOpen, QuorumMissing
from custodian.joining import interpolate
from custodian.policy import Policy

LABEL = b"custodian/share/v1"
SEED_SIZE = 16
BLIND_SIZE = 32
SHARE_SIZE = SEED_SIZE + BLIND_SIZE


def split(policy: Policy, seed: bytes, random: Callable[[int], bytes]) -> dict[str, bytes]:
    """Return each owner's 48-byte share of the 16-byte `seed`. Shamir draws its own randomness."""
    return {owner: value + random(BLIND_SIZE) for owner, value in _split(policy, seed).items()}


def _split(policy: Policy, secret: bytes) -> dict[str, bytes]:
    if policy.needed == 1:
        parts = [secret] * len(policy.members)
    else:
        parts = [part for _, part in Shamir.split(policy.needed, len(policy.members), secret)]
    values: dict[str, bytes] = {}
    for member, part in zip(policy.members, parts, strict=True):
        values |= {member: part} if isinstance(member, str) else _split(member, part)
    return values


def commit(share: bytes | bytearray, key_id: str, owner: str) -> bytes:
    """Return the 32-byte public commitment to a share."""
    place = b"\x00".join((LABEL, key_id.encode(), owner.encode(), b""))
    code = hmac.new(share[SEED_SIZE:], place, "sha256")
    code.update(memoryview(share)[:SEED_SIZE])
    return code.digest()


def is_dealt(key_id: str, owner: str, share: bytes | bytearray, commitment: bytes) -> bool:
    """Say whether `share` is the one that `commitment` was made to, for this owner and key."""
    return len(share) == SHARE_SIZE and hmac.compare_digest(commit(share, key_id, owner), commitment)


def join(
    policy: Policy,
    key_id: str,
    commitments: Mapping[str, bytes],
    shares: Mapping[str, bytes | bytearray],
) -> bytearray:
    """Return the seed.

    Raises:
        CannotOpen: shares do not match their commitments; names all their owners.
        QuorumMissing: the shares, all of them right, do not satisfy the policy.
    """
    wrong = tuple(
        owner
        for owner, share in shares.items()
        if owner not in commitments or not is_dealt(key_id, owner, share, commitments[owner])
    )
    if wrong:
        raise CannotOpen(f"the share of {', '.join(wrong)} is not the one that was dealt", wrong)
    chosen = policy.choose(sorted(shares))
    if chosen is None:
        needed = policy.still_needed(shares)
        raise QuorumMissing(f"{needed} more of the owners' shares are needed")
    return _join(policy, {owner: shares[owner] for owner in chosen})


def _join(policy: Policy, shares: Mapping[str, bytes | bytearray]) -> bytearray:
    points: dict[int, bytearray] = {}
    for index, member in enumerate(policy.members, start=1):
        if isinstance(member, str):
            if member in shares:
                points[index] = bytearray(memoryview(shares[member])[:SEED_SIZE])
        elif member.met_by(shares):
            points[index] = _join(member, shares)
    return points.popitem()[1] if policy.needed == 1 else interpolate(points)
