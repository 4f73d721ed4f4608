"""CFSSL's words for what a key may be used for, and what each kind of key can do at all."""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import ObjectIdentifier

from signer.algorithms import Family

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED_KEY_USAGES = {
    "any": Eku.ANY_EXTENDED_KEY_USAGE,
    "server auth": Eku.SERVER_AUTH,
    "client auth": Eku.CLIENT_AUTH,
    "code signing": Eku.CODE_SIGNING,
    "email protection": Eku.EMAIL_PROTECTION,
    "s/mime": Eku.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Eku.TIME_STAMPING,
    "ocsp signing": Eku.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}
KNOWN_USAGES = (*KEY_USAGES, *EXTENDED_KEY_USAGES)

_SIGNATURES = {"digital_signature", "content_commitment", "key_cert_sign", "crl_sign"}
_AGREEMENT = {"key_agreement", "encipher_only", "decipher_only"}
# RFC 3279 section 2.3.1, RFC 5480 section 3, RFC 9295 section 3: a certificate that claims more of
# its key is not conforming, and linters say so.
_ABLE: dict[Family, set[str]] = {
    "RSA": _SIGNATURES | {"key_encipherment", "data_encipherment"},
    "EC": _SIGNATURES | _AGREEMENT,
    "Ed25519": _SIGNATURES,
}


def key_usage(usages: tuple[str, ...], family: Family) -> x509.KeyUsage | None:
    """Return the usages that such a key is able to serve, or None if there are none."""
    wanted = {KEY_USAGES[usage] for usage in usages if usage in KEY_USAGES} & _ABLE[family]
    bits = {bit: bit in wanted for bit in KEY_USAGES.values()}
    return x509.KeyUsage(**bits) if wanted else None


def extended_key_usage(usages: tuple[str, ...]) -> x509.ExtendedKeyUsage | None:
    purposes = [EXTENDED_KEY_USAGES[usage] for usage in usages if usage in EXTENDED_KEY_USAGES]
    return x509.ExtendedKeyUsage(dict.fromkeys(purposes)) if purposes else None
