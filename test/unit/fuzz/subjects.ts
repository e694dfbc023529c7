/** What the tests of oracles and repairs begin with: the lab's own, and changes to them. */
import { parsePolicy } from "@countersign/attestation";
import { makeLab } from "../../fuzz/lab.ts";
import { type Judged, marksIn } from "../../fuzz/oracle/document.ts";
import { Random } from "../../fuzz/random.ts";
import { certificatesOf } from "../../fuzz/resign.ts";
import { Breach } from "../../fuzz/target.ts";
import { type Element, under, write } from "../../fuzz/tree/element.ts";
import { readCbor, unfold } from "../../fuzz/tree/reading.ts";

export const lab: Awaited<ReturnType<typeof makeLab>> = await makeLab(1);
export const [document = new Uint8Array()] = lab.documents;
export const [bundle = new Uint8Array()] = lab.bundles;
/** The second of each pair has its opening. */
export const [, proof = new Uint8Array()] = lab.proofs;
export const [receipt = { bytes: new Uint8Array(), point: new Uint8Array() }] = lab.receipts;

/** Leaves out no step of a repair. */
class Thorough extends Random {
  override once(): boolean {
    return false;
  }
}
export const thorough: Random = new Thorough(1);

/** By the strict policy, now, where all that looks signed was signed. */
export function judged(bytes: Uint8Array, changes: Partial<Judged> = {}): Judged {
  const { policy, nowMs } = lab.strict;
  const known = new Set(marksIn(bytes));
  return { policy: parsePolicy(policy), atMs: nowMs, nonce: null, known, ...changes };
}

/** What an oracle says against it; null where nothing. */
export function breachOf(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof Breach) return error.message;
    throw error;
  }
}

export function tree(bytes: Uint8Array): Element {
  return unfold(there(readCbor(bytes) ?? undefined));
}

export function changed(bytes: Uint8Array, change: (root: Element) => void): Uint8Array {
  const root = tree(bytes);
  change(root);
  return write(root);
}

export function there(element: Element | undefined): Element {
  if (element === undefined) throw new TypeError("no such element");
  return element;
}

/** The map that an untagged envelope holds. */
export function payloadOf(envelope: Element): Element {
  return there(envelope.children[2]?.children[0]);
}

/** A value of a document's payload. */
export function field(envelope: Element, name: string | number): Element {
  return there(under(payloadOf(envelope), name));
}

/** What a byte string under a key of a map holds. */
export function held(map: Element, key: number): Element {
  return there(under(map, key)?.children[0]);
}

/** Element `path`, by positions, of the certificate at `index` of a document. */
export function inCertificate(
  envelope: Element,
  index: number,
  ...path: readonly number[]
): Element {
  let element = certificatesOf(envelope).at(index)?.children[0];
  for (const at of path) element = element?.children[at];
  return there(element);
}

/** DER's TRUE. */
export function booleanTrue(): Element {
  const content = Uint8Array.of(0xff);
  return { format: "der", type: 0x01, value: 0n, width: 0, content, children: [] };
}
