"""Every error of the product.

    CustodianError
    ├── BadInput         what was sent is wrong; names the field
    │   └── FormatError  a record is not in its documented format
    ├── CannotOpen       a seal, share or envelope does not open; `owners` names whose share is wrong
    ├── QuorumMissing    too few delegations are live; says who could still lend
    ├── Unauthenticated  we do not know who is asking
    ├── Forbidden        we know, and the role may not do this
    ├── NotFound         no such thing, or none that the caller may see
    ├── Conflict         it exists already, or it has already ended
    ├── Untrusted        a history is not signed by its key, or contradicts what was seen before
    ├── TooMany          a rate or size limit; says when to try again
    └── Unavailable      a part that is needed does not answer

`code` is part of the API and never changes; the text is a sentence for people that says what to do
next. `members` are the extra members of the RFC 9457 problem. No text or member holds a secret.
"""

from typing import Any, ClassVar


class CustodianError(Exception):
    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class BadInput(CustodianError):
    code = "bad-input"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.field = field


class FormatError(BadInput):
    code = "malformed"


class CannotOpen(CustodianError):
    code = "cannot-open"

    def __init__(self, detail: str, owners: tuple[str, ...] = ()) -> None:
        super().__init__(detail, **({"owners": list(owners)} if owners else {}))
        self.owners = owners


class QuorumMissing(CustodianError):
    code = "quorum-missing"


class Unauthenticated(CustodianError):
    code = "unauthenticated"


class Forbidden(CustodianError):
    code = "forbidden"


class NotFound(CustodianError):
    code = "not-found"


class Conflict(CustodianError):
    code = "conflict"


class Untrusted(CustodianError):
    code = "history-mismatch"


class TooMany(CustodianError):
    code = "too-many"


class Unavailable(CustodianError):
    code = "unavailable"
