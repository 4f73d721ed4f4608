"""What is still missing until the first certificate, and what to type for it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from custodian.web.words import listed
from custodian.wire import Outlook


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the custodian has come."""

    owners: Sequence[str]  # enrolled
    invited: Sequence[str]  # to become owners, and have not yet
    signers: Sequence[str]  # enrolled
    connected: bool  # some signer is
    outlooks: Sequence[Outlook]  # of every key and signer
    signed: bool  # there is a certificate
    url: str

    @property
    def nearest(self) -> Outlook | None:
        """The key that is nearest to opening."""
        return min(self.outlooks, key=lambda each: each.needed, default=None)


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    done: bool
    now: str  # how it stands
    command: str


def steps(at: Progress) -> tuple[Step, ...]:
    """Return the steps to the first certificate, in their order."""
    signer = at.signers[0] if at.signers else "ca-1"
    at_custodian = f"--url {at.url} --ca tls.pem"
    invite = f"custodian signer enrol {signer} -u admin"
    certificate = "cfssl gencert -remote http://127.0.0.1:8888 -config client.json -profile server csr.json"
    return (
        _enrolment(at, at_custodian),
        Step(
            "A signer enrols",
            bool(at.signers),
            f"{listed(at.signers)} enrolled" if at.signers else "no signer yet",
            f"{invite}\nsigner enrol --name {signer} {at_custodian}",
        ),
        _sealing(at),
        Step(
            "The signer runs",
            at.connected or at.signed,
            "connected" if at.connected else "not connected",
            "signer serve",
        ),
        _lending(at, signer),
        Step(
            "The first certificate", at.signed, "signed" if at.signed else "none is signed yet", certificate
        ),
    )


def _enrolment(at: Progress, at_custodian: str) -> Step:
    whole = len(at.owners) + len(at.invited)
    missing = f"; {listed(sorted(at.invited))} not yet" if at.invited else ""
    return Step(
        "Owners enrol",
        len(at.owners) > 1 and not at.invited,
        f"{len(at.owners)} of {whole} enrolled{missing}" if whole else "nobody is invited yet",
        f"custodian enrol {at_custodian}" if at.invited else "custodian owner invite alice -u admin",
    )


def _sealing(at: Progress) -> Step:
    everybody = sorted([*at.owners, *at.invited])
    of = everybody if len(everybody) > 1 else ["alice", "bob", "carol"]
    keys = list(dict.fromkeys(each.key for each in at.outlooks))
    return Step(
        "A key is made and sealed",
        bool(keys),
        f"{listed(keys)} sealed" if keys else "no key yet",
        f'signer init-ca --key ca --policy "2 of ({", ".join(of)})" --cn "Example CA"',
    )


def _lending(at: Progress, signer: str) -> Step:
    nearest = at.nearest
    now, key, owner = "nothing to lend yet", "ca", at.owners[0] if at.owners else "alice"
    if nearest:
        have = len(nearest.live)
        now = "enough have lent" if nearest.open else f"{have} have lent, {nearest.needed} more needed"
        key, signer = nearest.key, nearest.signer
        owner = nearest.any_of[0] if nearest.any_of else owner
    done = bool(nearest and nearest.open) or at.signed
    command = f"custodian delegate {key} --signer {signer} --uses 50 --for 8h -u {owner}"
    return Step("Enough owners lend", done, now, command)
