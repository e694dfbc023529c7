/** What an envelope that was opened must have been, told without the enclave's code. */
import { constants, createDecipheriv, type KeyObject, privateDecrypt } from "node:crypto";
import { requireHeld } from "../target.ts";
import { definite, readBer, writeBer } from "../tree/ber.ts";
import { type Element, inside } from "../tree/element.ts";

const OCTET_STRING = 0x04;
const PIECES = 0x24;
/** [0], in one piece and in several. */
const TAG_0 = 0x80;
const TAG_0_PIECES = 0xa0;

/** Elements as they must be, in hexadecimal, where RFC 5652, 8017 and 3565 leave no choice. */
const ENVELOPED_DATA = "06092a864886f70d010703";
const DATA = "06092a864886f70d010701";
const OAEP = "06092a864886f70d010107";
const MGF1 = "06092a864886f70d010108";
const AES256_CBC = "060960864801650304012a";
const SHA256 = "0609608648016503040201";
const HASHES = [sequence(SHA256), sequence(SHA256, "0500")];
/** RFC 4055 §4.1: a label that is empty, spelled out. */
const LABELS = ["", element(0xa2, sequence("06092a864886f70d010109", "0400"))];

/** What an envelope holds beside what is always the same. */
interface Facts {
  readonly byKey: boolean;
  readonly rid: Uint8Array;
  readonly encryptedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/**
 * Holds `opened` against `bytes`.
 *
 * @param identifier - how an envelope may name the key. @throws Breach
 */
export function requireOpened(
  bytes: Uint8Array,
  opened: Uint8Array,
  { privateKey, identifier }: { readonly privateKey: KeyObject; readonly identifier: Uint8Array },
): void {
  const root = readBer(bytes);
  requireHeld(root !== null, "took what is no BER");
  const [facts, der] = factsOf(root);
  const same = forms(facts).includes(der);
  requireHeld(same, `took another structure:\n${der}\nwant one of\n${forms(facts).join("\n")}`);
  if (facts.byKey) requireHeld(hex(facts.rid) === hex(identifier), "took another recipient's");
  requireHeld(hex(decrypted(facts, privateKey)) === hex(opened), "opened to something else");
}

function factsOf(root: Element | null): readonly [Facts, string] {
  const enveloped = root?.children[1]?.children[0];
  const [, recipients, content] = enveloped?.children ?? [];
  const transport = recipients?.children[0];
  const [, rid, , encryptedKey] = transport?.children ?? [];
  const [, cipher, ciphertext] = content?.children ?? [];
  const strings = new Set([rid, encryptedKey, cipher?.children[1], ciphertext]);
  const whole = (at: Element): number | null => {
    const { type, children } = at;
    const pieces = children.every((child) => child.type === OCTET_STRING);
    if (!pieces) return null;
    if (type === PIECES) return OCTET_STRING;
    return type === TAG_0_PIECES && strings.has(at) ? TAG_0 : null;
  };
  const bytesOf = (at: Element | undefined): Uint8Array =>
    at === undefined ? new Uint8Array() : inside(definite(at, whole));
  const byKey = rid?.type === TAG_0 || rid?.type === TAG_0_PIECES;
  const facts = {
    byKey,
    rid: bytesOf(rid),
    encryptedKey: bytesOf(encryptedKey),
    iv: bytesOf(cipher?.children[1]),
    ciphertext: bytesOf(ciphertext),
  };
  return [facts, root === null ? "" : hex(writeBer(definite(root, whole)))];
}

/** Every DER form with these facts that may be taken. */
function forms({ byKey, rid, encryptedKey, iv, ciphertext }: Facts): readonly string[] {
  const version = byKey ? "020102" : "020100";
  const recipient = element(byKey ? TAG_0 : 0x30, hex(rid));
  const rest = sequence(
    DATA,
    sequence(AES256_CBC, element(OCTET_STRING, hex(iv))),
    element(TAG_0, hex(ciphertext)),
  );
  return HASHES.flatMap((hash) =>
    HASHES.flatMap((maskHash) =>
      LABELS.map((label) => {
        const mask = element(0xa1, sequence(MGF1, maskHash));
        const algorithm = sequence(OAEP, sequence(element(0xa0, hash), mask, label));
        const key = element(OCTET_STRING, hex(encryptedKey));
        const transport = sequence(version, recipient, algorithm, key);
        const enveloped = sequence(version, element(0x31, transport), rest);
        return sequence(ENVELOPED_DATA, element(0xa0, enveloped));
      }),
    ),
  );
}

/** Without OpenSSL's own judgement of the padding: RFC 5652 §6.3. */
function decrypted({ encryptedKey, iv, ciphertext }: Facts, privateKey: KeyObject): Uint8Array {
  const bits = privateKey.asymmetricKeyDetails?.modulusLength;
  requireHeld(8 * encryptedKey.length === bits, "took an encrypted key of another length");
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const key = privateDecrypt({ key: privateKey, padding, oaepHash: "sha256" }, encryptedKey);
  const decipher = createDecipheriv("aes-256-cbc", key, iv).setAutoPadding(false);
  const padded = Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  requireHeld(
    padded.subarray(32).every((byte) => byte === 16),
    "took another padding",
  );
  requireHeld(padded.length === 48, "took a key of another length");
  return padded.subarray(0, 32);
}

function sequence(...parts: readonly string[]): string {
  return element(0x30, ...parts);
}

function element(type: number, ...parts: readonly string[]): string {
  const content = Buffer.from(parts.join(""), "hex");
  const made: Element = { format: "der", type, value: 0n, width: 0, content, children: [] };
  return hex(writeBer(made));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
