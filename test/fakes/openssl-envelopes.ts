/**
 * Envelopes for one recipient as OpenSSL makes them, in four shapes: named by its key or by a certificate,
 * with lengths or as a stream without. openssl-envelopes.json holds one of each, for where there is no
 * OpenSSL and for tests that need the same bytes in every run; run this file to make new ones.
 */
import { spawnSync } from "node:child_process";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  randomBytes,
} from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface OpensslEnvelopes {
  /** PKCS #8, DER, base64: a key for tests, which protects nothing. */
  readonly privateKey: string;
  /** What is in all of them, base64. */
  readonly dataKey: string;
  /** By shape, base64. */
  readonly envelopes: Readonly<Record<string, string>>;
}

const FILE = new URL("openssl-envelopes.json", import.meta.url);
const OAEP = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"];
const SHAPES: Readonly<Record<string, readonly string[]>> = {
  "key identifier, definite": ["-keyid"],
  "key identifier, indefinite": ["-keyid", "-stream"],
  "issuer and serial number, definite": [],
  "issuer and serial number, indefinite": ["-stream"],
};

/** Whether there is an OpenSSL to make new ones. */
export const OPENSSL: boolean = spawnSync("openssl", ["version"]).status === 0;

export function heldEnvelopes(): OpensslEnvelopes {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by this file
  return JSON.parse(readFileSync(FILE, "utf8")) as OpensslEnvelopes;
}

/** @param privateKey - PKCS #8, DER. @param encryption - words that say what to encrypt with. */
export function makeEnvelopes(
  privateKey: Uint8Array,
  dataKey: Uint8Array,
  encryption: readonly string[] = ["-aes256", ...OAEP.flatMap((option) => ["-keyopt", option])],
): OpensslEnvelopes {
  const folder = mkdtempSync(join(tmpdir(), "countersign-cms-"));
  try {
    const key = createPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
    writeFileSync(join(folder, "key.pem"), key.export({ format: "pem", type: "pkcs8" }));
    writeFileSync(join(folder, "data-key"), dataKey);
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    // As AWS KMS names a key.
    const identifier = `subjectKeyIdentifier=${hash("sha256", spki)}`;
    const subject = ["-subj", "/CN=recipient", "-addext", identifier, "-days", "36500"];
    openssl(folder, ["req", "-x509", "-new", "-key", "key.pem", "-out", "cert.pem", ...subject]);
    const made = Object.entries(SHAPES).map(([shape, words]): [string, string] => {
      const recipient = ["-recip", "cert.pem", ...words, ...encryption];
      const files = ["-in", "data-key", "-outform", "DER", "-out", "envelope"];
      openssl(folder, ["cms", "-encrypt", "-binary", ...files, ...recipient]);
      return [shape, readFileSync(join(folder, "envelope")).toString("base64")];
    });
    return {
      privateKey: Buffer.from(privateKey).toString("base64"),
      dataKey: Buffer.from(dataKey).toString("base64"),
      envelopes: Object.fromEntries<string>(made),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Options of `-recip` come after it, so the caller's order is kept. */
function openssl(folder: string, words: readonly string[]): void {
  const { status, stderr } = spawnSync("openssl", words, { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl ${words.join(" ")}: ${stderr}`);
}

if (import.meta.main) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  const text = JSON.stringify(makeEnvelopes(pkcs8, randomBytes(32)), null, 2);
  writeFileSync(FILE, `${text}\n`);
}
