"""Refusals in CFSSL's own terms: a four-digit number, a sentence and an HTTP status.

The numbers are part of CFSSL's wire (its doc/errorcode.txt), so clients written for CFSSL keep
understanding them. A refusal that CFSSL does not number carries the HTTP status as its number, which
is what CFSSL does too.
"""

from enum import IntEnum
from typing import ClassVar

from custodian.errors import CustodianError


class Number(IntEnum):
    """The CFSSL error numbers that this signer answers with."""

    CA_EXPIRED = 1211
    KEY_NOT_GENERATED = 2400
    KEY_UNAVAILABLE = 2500
    NO_USAGES = 5100
    AGAINST_POLICY = 5300
    UNKNOWN_PROFILE = 5400
    AGAINST_WHITELIST = 5500
    CSR_NOT_PEM = 9002
    CSR_NOT_PARSED = 9003
    CSR_REFUSED = 9300


class CfsslError(CustodianError):
    """A request is refused; `number` goes into the envelope, `status` is the HTTP status."""

    code: ClassVar[str] = "cfssl"

    def __init__(self, number: int, detail: str, *, status: int = 400) -> None:
        super().__init__(detail)
        self.number = int(number)
        self.status = status


def bad_request(detail: str, status: int = 400) -> CfsslError:
    return CfsslError(status, detail, status=status)


def refused_csr(detail: str) -> CfsslError:
    return CfsslError(Number.CSR_REFUSED, detail)
