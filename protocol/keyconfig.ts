/** OHTTP key configurations (RFC 9458 §3.1), with exactly one symmetric suite. */
import { concatBytes } from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import {
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  type AeadId,
  KDF_HKDF_SHA256,
  type KdfId,
} from "./hpke.ts";
import { isKemId, KEM_BYTES, type KemId } from "./kem.ts";

export interface KeyConfig {
  /** 0 to 255. */
  readonly keyId: number;
  readonly kem: KemId;
  readonly publicKey: Uint8Array;
  readonly kdf: KdfId;
  readonly aead: AeadId;
}

/** Key ID, KEM ID; then the public key; then the length of the suites, KDF ID, AEAD ID. */
const HEAD_BYTES = 3;
const SUITE_BYTES = 4;

/** One Key Config, without the length prefix of `application/ohttp-keys`. */
export function encodeKeyConfig(config: KeyConfig): Uint8Array {
  requireKeyId(config.keyId);
  if (config.publicKey.length !== KEM_BYTES[config.kem].publicKey) {
    throw new ProtocolError("ohttp/key-config", `public key of ${config.publicKey.length} bytes`);
  }
  const head = Uint8Array.of(config.keyId, config.kem >> 8, config.kem & 0xff);
  const suite = Uint8Array.of(0, SUITE_BYTES, 0, config.kdf, 0, config.aead);
  return concatBytes(head, config.publicKey, suite);
}

/** @throws {@link ProtocolError} `ohttp/key-config`: unknown algorithm, two suites, a byte too many. */
export function parseKeyConfig(bytes: Uint8Array): KeyConfig {
  const [keyId, kemHigh, kemLow] = bytes;
  if (keyId === undefined || kemHigh === undefined || kemLow === undefined) {
    throw new ProtocolError("ohttp/key-config", `${bytes.length} bytes`);
  }
  const kem = (kemHigh << 8) | kemLow;
  if (!isKemId(kem)) throw new ProtocolError("ohttp/key-config", `KEM 0x${kem.toString(16)}`);
  const suiteAt = HEAD_BYTES + KEM_BYTES[kem].publicKey;
  const length = suiteAt + 2 + SUITE_BYTES;
  if (bytes.length !== length) {
    throw new ProtocolError("ohttp/key-config", `${bytes.length} bytes, want ${length}`);
  }
  const suite = new DataView(bytes.buffer, bytes.byteOffset + suiteAt, 2 + SUITE_BYTES);
  const kdf = suite.getUint16(2);
  const aead = suite.getUint16(4);
  if (suite.getUint16(0) !== SUITE_BYTES) {
    throw new ProtocolError("ohttp/key-config", "want exactly one symmetric suite");
  }
  if (kdf !== KDF_HKDF_SHA256 || (aead !== AEAD_AES_128_GCM && aead !== AEAD_AES_256_GCM)) {
    throw new ProtocolError("ohttp/key-config", `KDF ${kdf}, AEAD ${aead}`);
  }
  // A copy, and a plain array even where `bytes` is a Buffer, whose slice() would be a view.
  const publicKey = new Uint8Array(bytes.subarray(HEAD_BYTES, suiteAt));
  return { keyId, kem, publicKey, kdf, aead };
}

function requireKeyId(keyId: number): void {
  if (!Number.isInteger(keyId) || keyId < 0 || keyId > 255) {
    throw new ProtocolError("ohttp/key-config", `key id ${keyId}`);
  }
}
