"""Signatures of parties, which anybody with the signer's certificate can check, also when its fleet is long gone."""

from __future__ import annotations

PREFIX = b"unfed.plugins.signatures/1\0"
"""Goes before what a role signs, so that no role can be made to sign what the transport would (RFC 8446, 4.4.3)."""


def is_signed(certificate: str, data: bytes, signature: bytes) -> bool:
    """Whether the party with that certificate (PEM, an Ed25519 key) signed `data` by `ctx.sign` (RFC 8032).

    False for a certificate that is none, too.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(signature, PREFIX + data)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
