/**
 * The simulated hardware vendor: a root of its own, in a file that only its owner may read.
 *
 * It vouches for nothing. A client trusts it only where its policy says `simulated` and pins this root.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import { link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { EnclaveError } from "../errors.ts";
import { issueCertificate } from "./certificate.ts";

const ROOT_NAME = "simulated.countersign";
/** RFC 5280 §4.1.2.5: the last year that UTCTime can say. */
const ROOT_NOT_AFTER_MS = Date.UTC(2049, 11, 31, 23, 59, 59);
/** Clocks of two machines may differ by this. */
const ROOT_BACKDATE_MS = 86_400_000;
const SERIAL_BYTES = 16;
const MAX_FILE_BYTES = 16_384;

export interface Vendor {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Self-signed, DER. */
  readonly certificate: Uint8Array;
}

/** A fresh vendor, in memory. */
export function createVendor(nowMs: number): Vendor {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const certificate = issueCertificate({
    role: { authority: true, pathLength: null },
    serial: randomSerial(),
    issuerName: ROOT_NAME,
    issuerKey: privateKey,
    issuerPublicKey: publicKey,
    subjectName: ROOT_NAME,
    subjectPublicKey: publicKey,
    notBeforeMs: nowMs - ROOT_BACKDATE_MS,
    notAfterMs: ROOT_NOT_AFTER_MS,
  });
  return { name: ROOT_NAME, privateKey, publicKey, certificate };
}

/**
 * The vendor in `path`; makes one there where there is none.
 *
 * @throws EnclaveError `simulation/vendor-key` where the file is no vendor's, or open to others.
 */
export async function loadVendor(path: string, nowMs: number): Promise<Vendor> {
  if (!(await exists(path))) await writeVendor(path, createVendor(nowMs));
  const { mode, size } = await stat(path);
  if ((mode & 0o077) !== 0) {
    throw new EnclaveError("simulation/vendor-key", "the file is open to others, want mode 0600");
  }
  if (size > MAX_FILE_BYTES) throw new EnclaveError("simulation/vendor-key", `${size} bytes`);
  return parseVendor(await readFile(path, "utf8"));
}

/** PEM of a certificate. */
export function certificatePem(certificate: Uint8Array): string {
  return new X509Certificate(certificate).toString();
}

/** SHA-256 of the root's DER, lower-case hexadecimal: what a policy pins. */
export function rootDigest(vendor: Vendor): string {
  return hash("sha256", vendor.certificate, "hex");
}

/** 16 random bytes with the top bits 01, so that the serial is positive and never zero. */
export function randomSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

function parseVendor(pem: string): Vendor {
  try {
    const privateKey = createPrivateKey(pem);
    const publicKey = createPublicKey(privateKey);
    const start = pem.indexOf("-----BEGIN CERTIFICATE-----");
    const certificate = new X509Certificate(pem.slice(Math.max(start, 0)));
    if (!certificate.checkPrivateKey(privateKey)) throw new TypeError("another key's certificate");
    return { name: ROOT_NAME, privateKey, publicKey, certificate: new Uint8Array(certificate.raw) };
  } catch (cause) {
    throw new EnclaveError("simulation/vendor-key", "the file holds no vendor's key", { cause });
  }
}

/** Writes beside `path` and links it there: a second process that does the same gets the first one's. */
async function writeVendor(path: string, vendor: Vendor): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const key = vendor.privateKey.export({ format: "pem", type: "pkcs8" });
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(`${key.toString()}${certificatePem(vendor.certificate)}`);
    await file.sync();
    await link(draft, path).catch((error: unknown) => {
      if (!hasCode(error, "EEXIST")) throw error;
    });
  } finally {
    await file.close();
    await unlink(draft);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
