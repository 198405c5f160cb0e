"""Certificates for tests of TLS, made by the ``openssl`` command; without it these tests are skipped."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

TIMEOUT_S = 30


class Signed(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A CA and what it signs, in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command to make certificates")
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl(
            "req",
            "-x509",
            *_new_key(self._key),
            "-out",
            self.certificate,
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        )

    def sign(self, name: str, subject: str, *, days: int = 2) -> Signed:
        """A certificate for ``localhost`` and 127.0.0.1, of this subject."""
        signed = Signed(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        _openssl("req", "-utf8", *_new_key(signed.key), "-out", request, "-subj", subject)
        _openssl(
            *(
                "x509",
                "-req",
                "-in",
                request,
                "-CA",
                self.certificate,
                "-CAkey",
                self._key,
                "-CAcreateserial",
            ),
            *("-out", signed.certificate, "-days", str(days), "-extfile", extensions),
        )
        return signed

    def client_context(self, signed: Signed | None = None) -> ssl.SSLContext:
        """What a client that trusts this CA encrypts with, perhaps showing a certificate."""
        context = ssl.create_default_context(cafile=self.certificate)
        if signed is not None:
            context.load_cert_chain(*signed)
        return context


def der_of(signed: Signed) -> bytes:
    """A certificate as it is sent."""
    return ssl.PEM_cert_to_DER_cert(signed.certificate.read_text("ascii"))


def encrypted_key(key: Path, password: str) -> Path:
    """A copy of a key that needs a password."""
    target = key.with_suffix(".encrypted")
    _openssl("ec", "-in", key, "-aes256", "-passout", f"pass:{password}", "-out", target)
    return target


def _new_key(path: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=TIMEOUT_S)
