"""Who a party is: an Ed25519 key made at its start, never written to disk, and the peers it will accept."""

from __future__ import annotations

import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from unfed.plugins.signatures import PREFIX


class Identity:
    """A fresh key and its self-signed certificate, with the two TLS contexts that speak for it.

    A peer is whoever proves possession of a certificate pinned under its name: TLS 1.3 checks the proof against the
    pinned certificates, `peer_of` checks which of them it was.
    """

    def __init__(self, name: str) -> None:
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        today = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=365))
            .sign(key, None)
        )
        self._key = key
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self._pinned: dict[bytes, str] = {}
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER, secret)
        self.client = self._context(ssl.PROTOCOL_TLS_CLIENT, secret)

    def sign(self, data: bytes) -> bytes:
        """What `unfed.plugins.signatures` checks."""
        return self._key.sign(PREFIX + data)

    def _context(self, side: int, secret: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # names are not hosts here: the certificate itself is pinned
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if side == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # no resumption: every connection proves its key
        with_key = os.memfd_create("identity", os.MFD_CLOEXEC)  # load_cert_chain reads files; this one is memory
        try:
            os.write(with_key, self.certificate.encode() + secret)
            context.load_cert_chain(f"/proc/self/fd/{with_key}")
        finally:
            os.close(with_key)
        return context

    def pin(self, peers: dict[str, str]) -> None:
        """Accept exactly these peers from now on.

        Args:
            peers: name → certificate (PEM). A name pinned before under another certificate loses that one.
        """
        self._pinned = {ssl.PEM_cert_to_DER_cert(pem): name for name, pem in peers.items()}
        if peers:
            everyone = "\n".join(peers.values())
            self.server.load_verify_locations(cadata=everyone)
            self.client.load_verify_locations(cadata=everyone)

    def peer_of(self, connection: ssl.SSLObject | ssl.SSLSocket) -> str | None:
        """The pinned name of whoever is at the other end, None if it is nobody we know (any more)."""
        der = connection.getpeercert(binary_form=True)
        return self._pinned.get(der) if der else None
