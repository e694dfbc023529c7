/** The envelope in which a KMS answers: never a crash, never a key that opens something else. */
import { createCipheriv, createDecipheriv, createPrivateKey } from "node:crypto";
import { segmentAad, segmentNonce } from "@countersign/protocol";
import { EnclaveError } from "../../../enclave/errors.ts";
import { openRecipientEnvelope, parseRecipientEnvelope } from "../../../enclave/keys/cms.ts";
import { heldEnvelopes } from "../../fakes/openssl-envelopes.ts";
import { kmsParts, recipientOf, writeEnvelope } from "../../fakes/recipient-envelope.ts";
import { mutateBytes } from "../bytes.ts";
import { requireOpened } from "../oracle/cms.ts";
import type { Random } from "../random.ts";
import { ACCEPTED, Breach, type Input, requireHeld, type Run, type Target } from "../target.ts";
import { readBer, writeBer } from "../tree/ber.ts";
import { mutateTree } from "../tree/mutation.ts";

const held = heldEnvelopes();
const decoded = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
const recipient = recipientOf(
  createPrivateKey({ key: Buffer.from(held.privateKey, "base64"), format: "der", type: "pkcs8" }),
);
const dataKey = decoded(held.dataKey);
const PLAINTEXT = new Uint8Array(64).fill(7);
const NONCE = segmentNonce(0, 0);
const AAD = segmentAad(new Uint8Array(32), 0, 0, true);
/** What the data key is for, sealed with the right one. */
const segment = sealSegment();

/** Seeds are OpenSSL's envelopes, and what is in them as AWS KMS would put it. */
export function makeTarget(): Promise<Target> {
  const genuine = Object.values(held.envelopes).map(decoded);
  const byKey = genuine.flatMap((bytes) => {
    try {
      return [parseRecipientEnvelope(bytes, recipient.identifier)];
    } catch {
      return [];
    }
  });
  const asKms = byKey.map((parts) =>
    writeEnvelope(kmsParts(recipient.identifier, parts), "indefinite"),
  );
  return Promise.resolve({
    name: "cms",
    batch: 32,
    seeds: [...genuine, ...asKms].map((bytes) => {
      return { bytes, stance: null, signed: [], genuine: true };
    }),
    mutate,
    run: ({ bytes }) => Promise.resolve(judged(bytes)),
  });
}

function judged(bytes: Uint8Array): Run {
  const first = outcomeOf(bytes);
  const second = outcomeOf(bytes);
  const outcome = first instanceof EnclaveError ? first.code : ACCEPTED;
  try {
    requireHeld(told(first) === told(second), "two outcomes of one input");
    if (first instanceof EnclaveError) requireHeld(first.code === "key/envelope", first.message);
    else requireHarmless(bytes, first);
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    return { outcome, breach: error.message };
  }
  return { outcome, breach: null };
}

/** A key that is not the one that was sealed opens no segment: nobody reads another plaintext. */
function requireHarmless(bytes: Uint8Array, opened: Uint8Array): void {
  requireOpened(bytes, opened, recipient);
  const right = Buffer.from(opened).equals(dataKey);
  requireHeld(opensSegment(opened) === right, "a wrong key opened a segment");
}

function outcomeOf(bytes: Uint8Array): Uint8Array | EnclaveError {
  try {
    return openRecipientEnvelope(bytes, recipient);
  } catch (error) {
    if (!(error instanceof EnclaveError)) throw error;
    return error;
  }
}

function told(outcome: Uint8Array | EnclaveError): string {
  if (outcome instanceof EnclaveError) return `${outcome.message} ${String(outcome.cause)}`;
  return Buffer.from(outcome).toString("hex");
}

function sealSegment(): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", dataKey, NONCE).setAAD(AAD);
  return Buffer.concat([cipher.update(PLAINTEXT), cipher.final(), cipher.getAuthTag()]);
}

function opensSegment(key: Uint8Array): boolean {
  const decipher = createDecipheriv("aes-256-gcm", key, NONCE).setAAD(AAD);
  decipher.setAuthTag(segment.subarray(PLAINTEXT.length));
  decipher.update(segment.subarray(0, PLAINTEXT.length));
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

function mutate(random: Random, parent: Input, other: Input): Input {
  const root = random.once(2) ? readBer(parent.bytes) : null;
  if (root === null) {
    return { bytes: mutateBytes(random, parent.bytes, other.bytes), stance: null, signed: [] };
  }
  mutateTree(random, root, readBer(other.bytes) ?? root);
  return { bytes: writeBer(root), stance: null, signed: [] };
}
