"""A sealed version of a model, made from PROTOCOL.md's words and not by the code under test.

    python test/vectors/seal/make.py

needs the package `cryptography`. The plaintext of each file is SHAKE-256 of its path.
"""

import base64
import hashlib
import json
import pathlib
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEGMENT = 4 * 1024 * 1024
DATA_KEY = bytes(range(32))
KEY_FILE_KEY = bytes(range(255, 223, -1))
WRAP_NONCE = bytes(range(100, 112))
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
SIZES = {
    "config.json": 5,
    "empty": 0,
    "model.onnx": SEGMENT,
    "onnx/weights": SEGMENT + 1,
    "tokenizer.json": 3000,
}
SHOWN = 64


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for bits, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if value < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | bits]) + struct.pack(form, value)
    raise ValueError(value)


def cbor(value):
    """RFC 8949 §4.2.1, of what a seal is made of. Maps have keys of one byte here, in their order."""
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def seal(digest, index, plain):
    count = max(1, -(-len(plain) // SEGMENT))
    for segment in range(count):
        position = struct.pack(">IQ", index, segment)
        aad = b"countersign/segment/v1" + digest + position + bytes([segment == count - 1])
        part = plain[segment * SEGMENT : (segment + 1) * SEGMENT]
        yield AESGCM(DATA_KEY).encrypt(position, part, aad)


plains = {path: hashlib.shake_256(path.encode()).digest(size) for path, size in SIZES.items()}
paths = sorted(plains, key=str.encode)
manifest = cbor([[p, len(plains[p]), hashlib.sha256(plains[p]).digest()] for p in paths])
digest = hashlib.sha256(manifest).digest()
files = []
for index, path in enumerate(paths):
    sealed = b"".join(seal(digest, index, plains[path]))
    files.append(
        {
            "path": path,
            "size": len(plains[path]),
            "sealedBytes": len(sealed),
            "sealedSha256": hashlib.sha256(sealed).hexdigest(),
            "sealedEnd": sealed[-SHOWN:].hex(),
        }
    )
wrap_aad = b"countersign/wrapped-key/v1" + digest
wrapped = WRAP_NONCE + AESGCM(KEY_FILE_KEY).encrypt(WRAP_NONCE, DATA_KEY, wrap_aad)
key_id = hashlib.sha256(b"countersign/key-id/v1\x00" + KEY_FILE_KEY).digest()[:16].hex()
envelope = cbor({1: "file", 2: key_id, 3: wrapped})
answer = {
    "dataKey": DATA_KEY.hex(),
    "keyFile": "countersign-key-v1:" + base64.urlsafe_b64encode(KEY_FILE_KEY).decode().rstrip("="),
    "keyId": key_id,
    "manifest": manifest.hex(),
    "modelDigest": digest.hex(),
    "files": files,
    "wrapped": wrapped.hex(),
    "envelope": envelope.hex(),
    "seal": cbor({1: "countersign/seal/v1", 2: manifest, 3: envelope}).hex(),
    "kmsKey": KMS_KEY,
    "kmsWrapped": bytes(range(40)).hex(),
    "kmsEnvelope": cbor({1: "aws-kms", 2: KMS_KEY, 3: bytes(range(40))}).hex(),
}
target = pathlib.Path(__file__).with_name("known-answer.json")
target.write_text(json.dumps(answer, indent=2) + "\n")
