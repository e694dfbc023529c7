"""Writes response.json: a key broker's response, made without any code of Countersign's.

Run by hand with Python's `cryptography` from 45 on; X-Wing (draft-connolly-cfrg-xwing-kem-10) and HPKE
(RFC 9180) are written out here from their texts. ML-KEM and X25519 choose fresh randomness, so a second
run gives another response, as good as this one.
"""

import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM, KDF, AEAD = 0x647A, 0x0001, 0x0002
SUITE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (KEM, KDF, AEAD))
INFO = b"countersign/key-release/v1"


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def extract(salt, label, ikm):
    labelled = b"HPKE-v1" + SUITE + label + ikm
    return hmac.digest(salt or bytes(32), labelled, "sha256")


def expand(prk, label, info, length):
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info
    out, block = b"", b""
    for counter in range(1, 9):
        block = hmac.digest(prk, block + labelled + bytes([counter]), "sha256")
        out += block
    return out[:length]


def cbor_bytes(value):
    return b"\x59" + len(value).to_bytes(2, "big") + value if len(value) > 255 else (
        b"\x58" + bytes([len(value)]) + value
    )


def response(public_key, x25519_public, document, data_key):
    # X-Wing's encapsulation.
    ss_m, ct_m = public_key.encapsulate()
    ephemeral = X25519PrivateKey.generate()
    ct_x, ss_x = raw(ephemeral.public_key()), ephemeral.exchange(x25519_public)
    label = bytes.fromhex("5c2e2f2f5e5c")
    secret = hashlib.sha3_256(ss_m + ss_x + ct_x + raw(x25519_public) + label).digest()
    # RFC 9180 §5.1, base mode.
    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", INFO)
    prk = extract(secret, b"secret", b"")
    key = expand(prk, b"key", context, 32)
    nonce = expand(prk, b"base_nonce", context, 12)
    aad = hashlib.sha256(document).digest()
    ciphertext = AESGCM(key).encrypt(nonce, data_key, aad)
    tag = b"countersign/key-response/v1"
    head = b"\xa3\x01\x78" + bytes([len(tag)]) + tag
    return head + b"\x02" + cbor_bytes(ct_m + ct_x) + b"\x03" + cbor_bytes(ciphertext)


def main():
    seed, data_key, document = bytes([7] * 32), bytes([9] * 32), b"an attestation document"
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    made = response(mlkem.public_key(), x25519.public_key(), document, data_key)
    vector = {
        "source": "make.py, beside this file",
        "privateKey": seed.hex(),
        "document": document.hex(),
        "dataKey": data_key.hex(),
        "response": made.hex(),
    }
    path = pathlib.Path(__file__).with_name("response.json")
    path.write_text(json.dumps(vector, indent=2) + "\n")


if __name__ == "__main__":
    main()
