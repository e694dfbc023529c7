/** What somebody most likely gave us instead of what we asked for. */
import { AttestationError, parseBundle, parseEvidence, parseProof } from "@countersign/attestation";

import { CommandError } from "./exit.ts";
import { DIRECTORY } from "./files.ts";

/** Printable ASCII, tab, and ends of lines. */
const TEXT: ReadonlySet<number> = new Set([
  0x09,
  0x0a,
  0x0d,
  ...Array.from({ length: 95 }, (_, i) => i + 0x20),
]);
/** `host:port`, with or without a path. */
const ADDRESS = /^(?:[\w.-]+|\[[\d:a-f]+\]):\d{1,5}(?:\/.*)?$/iu;

/** What a file that is no evidence is instead, as a sentence; null where that cannot be told. */
export function insteadOfEvidence(bytes: Uint8Array, path: string): string | null {
  if (parses(() => parseProof(bytes))) {
    return `This is a proof: "countersign verify ${path}" judges it.`;
  }
  return insteadOfCbor(bytes);
}

/** What a file that is no proof is instead, in the same way. */
export function insteadOfProof(bytes: Uint8Array, path: string): string | null {
  if (parses(() => parseBundle(bytes)) || parses(() => parseEvidence(bytes))) {
    return `This is evidence: "countersign attest ${path}" judges it.`;
  }
  return insteadOfCbor(bytes);
}

function insteadOfCbor(bytes: Uint8Array): string | null {
  if (bytes.length === 0 || !bytes.every((byte) => TEXT.has(byte))) return null;
  return "This is text. If it is base64 or hexadecimal, decode it first.";
}

function parses(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return false;
  }
}

/** `error`, with what to do where what was named is no file: a directory, or a node's address. */
export function mistakenName(subject: string, error: unknown): unknown {
  if (!(error instanceof CommandError) || error.fix !== null) return error;
  const { message } = error;
  if (message.endsWith(DIRECTORY)) {
    return new CommandError(message, "name the files in it");
  }
  if (!ADDRESS.test(subject)) return error;
  return new CommandError(message, `an address begins with its scheme: http://${subject}`);
}
