"""What evidence does in place of a password: lend by a grant, and sign in.

Who brings a grant does not matter: its evidence says who agreed to the terms, the share in it opens only
under them, and terms are granted once.
"""

from collections.abc import Mapping

from custodian import granting, ownerslots, sessions
from custodian.encoding import decode_base64
from custodian.errors import Forbidden, FormatError, Unauthenticated
from custodian.events import Evidence
from custodian.sessions import Session
from custodian.shares import SHARE_SIZE
from custodian.site import Site
from custodian.statements import Statements
from custodian.store import Transaction
from custodian.terms import Terms


def grant(tx: Transaction, terms: Terms, sealed: Mapping[str, str], evidence: Evidence, site: Site) -> int:
    """Store a delegation that its owner agreed to; return its entry in the history.

    Raises:
        Forbidden: the owner did not agree to these terms, in whatever way, for a stranger learns nothing of
            who there is; or may not lend so. FormatError: not a grant.
        Conflict: it was granted already, or the signer has started anew since.
    """
    try:
        ownerslots.prove(tx, terms.owner, evidence, bytes(terms), site)
    except (Forbidden, FormatError):
        raise Forbidden(
            f"no credential of {terms.owner} here agreed to these terms; make the grant anew by one of them"
        ) from None
    for recipient in terms.recipients:
        raw = decode_base64(sealed.get(str(recipient), ""), "sealed")
        if len(raw) != recipient.sealed_size(SHARE_SIZE):
            raise FormatError("sealed", "does not hold a share sealed to each recipient")
    return granting.grant(tx, terms.owner, terms, sealed, evidence)


def sign_in(
    tx: Transaction, name: str, statement: str, evidence: Evidence, *, site: Site, statements: Statements
) -> tuple[str, Session]:
    """Start a session of whoever signed a statement of ours; return its token and itself.

    Raises:
        Unauthenticated: whatever is wrong; a stranger learns nothing of who there is.
    """
    statements.check(statement, site.origin, tx.now)
    try:
        ownerslots.prove(tx, name, evidence, statement.encode(), site)
    except (Forbidden, FormatError):
        raise Unauthenticated("the name or the signature is not right") from None
    statements.use(statement, tx.now)
    return sessions.start(tx, name)
