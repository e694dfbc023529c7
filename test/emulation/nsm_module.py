"""A Nitro Secure Module for the emulated enclave: registers, random bytes and signed documents.

Requests and responses are those of AWS's NSM API 0.4 (`api::Request`, `api::Response`), in CBOR. The
documents are signed by a root of our own that vouches for nothing: a client believes one only where
its policy pins that root.
"""

import datetime
import hashlib
import os
import secrets
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

REGISTERS = 32
BOOT_REGISTERS = 16
PCR_BYTES = 48
MAX_EXTEND_BYTES = 512
# AWS Nitro Enclaves attestation process, section 3.2.
MAX_FIELD_BYTES = {"user_data": 512, "nonce": 512, "public_key": 1024}
# Linux drivers/misc/nsm.c, NSM_REQUEST_MAX_SIZE and NSM_RESPONSE_MAX_SIZE.
MAX_REQUEST_BYTES = 0x1000
MAX_RESPONSE_BYTES = 0x3000
MAX_DEPTH = 4
# As AWS: an instance's certificate lasts a day, a leaf's three hours.
ROOT_LIFETIME = datetime.timedelta(days=3650)
INSTANCE_LIFETIME = datetime.timedelta(days=1)
LEAF_LIFETIME = datetime.timedelta(hours=3)
# A leaf signs for this long, so that each one still covers the two hours of an epoch.
LEAF_USE_SECONDS = 600
BACKDATE = datetime.timedelta(seconds=30)
REGION = "us-east-1"
# {1: ES384}, RFC 9053 section 2.1.
PROTECTED = bytes.fromhex("a1013822")


class Refused(Exception):
    """The request gets `{"Error": code}`; the code is one of `api::ErrorCode`."""


# ---- CBOR, RFC 8949: definite lengths, and what the module's messages use of it ----


def encode(value):
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    raise TypeError(f"no CBOR for {type(value)}")


def _head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for extra, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            return bytes([major << 5 | extra]) + number.to_bytes(width, "big")
    raise ValueError("number above 64 bits")


def decode(data):
    """One whole item; anything else is the module's `InvalidOperation`."""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise Refused("InvalidOperation")
    return value


def _item(data, at, depth):
    if at >= len(data) or depth > MAX_DEPTH:
        raise Refused("InvalidOperation")
    major, extra, at = data[at] >> 5, data[at] & 31, at + 1
    if major == 7:
        if extra not in (20, 21, 22):
            raise Refused("InvalidOperation")
        return {20: False, 21: True, 22: None}[extra], at
    number, at = _number(data, at, extra)
    if major == 0:
        return number, at
    if major in (2, 3):
        content = data[at : at + number]
        if len(content) != number:
            raise Refused("InvalidOperation")
        return (bytes(content) if major == 2 else _text(content)), at + number
    if major == 4:
        return _items(data, at, depth, number)
    if major == 5:
        flat, at = _items(data, at, depth, 2 * number)
        if any(not isinstance(key, str) for key in flat[::2]) or len(set(flat[::2])) != number:
            raise Refused("InvalidOperation")
        return dict(zip(flat[::2], flat[1::2])), at
    raise Refused("InvalidOperation")


def _number(data, at, extra):
    if extra < 24:
        return extra, at
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(extra)
    if width is None or at + width > len(data):
        raise Refused("InvalidOperation")
    return int.from_bytes(data[at : at + width], "big"), at + width


def _items(data, at, depth, count):
    # Every item takes a byte at least, so a count cannot make us loop past the request.
    if count > len(data) - at:
        raise Refused("InvalidOperation")
    found = []
    for _ in range(count):
        value, at = _item(data, at, depth + 1)
        found.append(value)
    return found, at


def _text(content):
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("InvalidOperation") from None


# ---- the vendor ----


def _name(common_name):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Countersign"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Emulation"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _issue(subject, key, issuer, lifetime, authority, path_length=None):
    """A certificate in the profile of AWS Nitro's; `issuer` is (certificate, key), or None for a root."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    authority_key = key if issuer is None else issuer[1]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(subject) if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(authority, path_length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=authority,
        )
    )
    return builder.sign(authority_key, hashes.SHA384())


def load_root(folder):
    """(certificate, key) of the test root in `folder`; made there where there is none."""
    path = os.path.join(folder, "root.pem")
    if not os.path.exists(path):
        key = ec.generate_private_key(ec.SECP384R1())
        certificate = _issue("emulation.countersign", key, None, ROOT_LIFETIME, True)
        draft = f"{path}.{os.getpid()}"
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        os.rename(draft, path)
        with open(os.path.join(folder, "root.certificate.pem"), "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(path, "rb") as file:
        pem = file.read()
    return x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, None)


def _der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


# ---- the module ----


class Module:
    """One enclave's module: made when the enclave starts, gone when it ends."""

    def __init__(self, root, pcrs):
        self.values = [bytes(PCR_BYTES) for _ in range(REGISTERS)]
        self.locked = [index < BOOT_REGISTERS for index in range(REGISTERS)]
        for index, value in pcrs.items():
            self.values[index] = value
        instance_id = "i-" + secrets.token_hex(9)[1:]
        self.values[4] = hashlib.sha384(bytes(PCR_BYTES) + instance_id.encode()).digest()
        self.module_id = f"{instance_id}-enc{secrets.token_hex(8)}"
        self.root = root
        key = ec.generate_private_key(ec.SECP384R1())
        name = f"{instance_id}.{REGION}.aws"
        self.instance = (_issue(name, key, root, INSTANCE_LIFETIME, True, 0), key)
        self.leaf, self.leaf_until = None, 0.0

    def answer(self, request):
        """The bytes of the answer to the bytes of a request."""
        try:
            if len(request) > MAX_REQUEST_BYTES:
                raise Refused("InputTooLarge")
            response = encode(self._result(decode(request)))
            if len(response) > MAX_RESPONSE_BYTES:
                raise Refused("BufferTooSmall")
            return response
        except Refused as refusal:
            return encode({"Error": str(refusal)})

    def _result(self, request):
        if request == "DescribeNSM":
            return {"DescribeNSM": self._description()}
        if request == "GetRandom":
            return {"GetRandom": {"random": secrets.token_bytes(256)}}
        if not isinstance(request, dict) or len(request) != 1:
            raise Refused("InvalidOperation")
        [(name, arguments)] = request.items()
        if not isinstance(arguments, dict):
            raise Refused("InvalidOperation")
        if name == "Attestation":
            return {"Attestation": {"document": self._attest(arguments)}}
        if name == "LockPCRs":
            return self._lock_range(arguments.get("range"))
        index = arguments.get("index")
        if name not in ("DescribePCR", "ExtendPCR", "LockPCR") or not isinstance(index, int):
            raise Refused("InvalidOperation")
        if index >= REGISTERS:
            raise Refused("InvalidIndex")
        if name == "DescribePCR":
            return {name: {"data": self.values[index], "lock": self.locked[index]}}
        if self.locked[index]:
            raise Refused("ReadOnlyIndex")
        if name == "LockPCR":
            self.locked[index] = True
            return name
        return {name: {"data": self._extend(index, arguments.get("data"))}}

    def _description(self):
        return {
            "digest": "SHA384",
            "max_pcrs": REGISTERS,
            "module_id": self.module_id,
            "locked_pcrs": [index for index in range(REGISTERS) if self.locked[index]],
            "version_major": 1,
            "version_minor": 0,
            "version_patch": 0,
        }

    def _extend(self, index, data):
        if not isinstance(data, bytes):
            raise Refused("InvalidOperation")
        if len(data) > MAX_EXTEND_BYTES:
            raise Refused("InputTooLarge")
        self.values[index] = hashlib.sha384(self.values[index] + data).digest()
        return self.values[index]

    def _lock_range(self, count):
        if not isinstance(count, int):
            raise Refused("InvalidOperation")
        if count > REGISTERS:
            raise Refused("InvalidIndex")
        self.locked[:count] = [True] * count
        return "LockPCRs"

    def _attest(self, arguments):
        fields = {name: arguments.get(name) for name in ("public_key", "user_data", "nonce")}
        for name, value in fields.items():
            if value is not None and not isinstance(value, bytes):
                raise Refused("InvalidOperation")
            if value is not None and len(value) > MAX_FIELD_BYTES[name]:
                raise Refused("InputTooLarge")
        certificate, key = self._leaf()
        payload = encode(
            {
                "module_id": self.module_id,
                "digest": "SHA384",
                "timestamp": int(time.time() * 1000),
                "pcrs": {i: self.values[i] for i in range(REGISTERS) if self.locked[i]},
                "certificate": _der(certificate),
                "cabundle": [_der(self.root[0]), _der(self.instance[0])],
                **fields,
            }
        )
        # RFC 9052 section 4.4: what is signed; and section 4.2, without the tag, as the device does.
        signed = encode(["Signature1", PROTECTED, b"", payload])
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
        signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
        return encode([PROTECTED, {}, payload, signature])

    def _leaf(self):
        if self.leaf is None or time.monotonic() >= self.leaf_until:
            key = ec.generate_private_key(ec.SECP384R1())
            name = f"{self.module_id}.{REGION}.aws"
            self.leaf = (_issue(name, key, self.instance, LEAF_LIFETIME, False), key)
            self.leaf_until = time.monotonic() + LEAF_USE_SECONDS
        return self.leaf


if __name__ == "__main__":
    # Makes the root before the first enclave starts, for whoever has to pin it.
    load_root(sys.argv[1])
