"""The vectors that are made once and kept for ever."""

import os
from dataclasses import replace

from custodian.envelope import seal
from custodian.sealing import PrivateKey
from custodian.slots import Kdf, derive, kdf_parameters, login_verifier, make_slot
from vectors.common import SECRET, Vectors, private_key, random_from, vector
from vectors.envelopes import sealed_key
from vectors.slots import PASSWORD, root_of


def frozen_vectors() -> Vectors:
    """What the shipped code makes with real randomness. Run once for each version, by hand."""
    owners = {name: private_key(name) for name in ("alice", "carol")}
    owners["bob"] = PrivateKey("mlkem768-x25519", random_from("hybrid key of bob")(32))
    public = {name: key.public for name, key in owners.items()}
    facts = sealed_key("2 of (alice, bob, carol)", "facts").facts
    envelope = seal(facts, public, SECRET, os.urandom)
    strict = seal(replace(facts, veto=("bob", "carol"), no_self_approval=True), public, SECRET, os.urandom)
    keys = [("owner-key", f"{name} {key.suite}:{key.raw.hex()}") for name, key in owners.items()]
    kdf = Kdf(os.urandom(16))
    derived = derive(PASSWORD, kdf)
    slot = make_slot(
        owners["bob"], ("bob", "password", "password"), derived.unlock.public, **kdf_parameters(kdf)
    )
    owner_key = ("owner-key", f"mlkem768-x25519:{owners['bob'].raw.hex()}")
    unlock = [("unlock", f"x25519:{derived.unlock.raw.hex()}"), ("password", PASSWORD)]
    verifier = [("root", root_of(kdf).hex()), ("verifier", login_verifier(derived).hex())]
    secret = ("secret", SECRET.hex())
    return {
        "envelope-v1_x25519-owners": vector("success", [keys[0], keys[1], secret], bytes(envelope)),
        "envelope-v1_hybrid-owner": vector("success", [keys[0], keys[2], secret], bytes(envelope)),
        "envelope-v1_rules": vector("success", [keys[0], keys[1], secret], bytes(strict)),
        "slot-v1_usual-cost": vector("success", [*unlock, *verifier, owner_key], bytes(slot)),
    }
