/** Transcript heads by Node's own hash functions and RFC 9162's own recursion. */
import { createHmac } from "node:crypto";
import { digest } from "./x509.ts";

export interface OracleHead {
  readonly leaves: number;
  readonly root: Uint8Array;
  readonly bytes: number;
}

/** PROTOCOL.md, "Transcripts". */
export function transcriptHead(
  kc: Uint8Array,
  direction: 0 | 1,
  leaves: readonly Uint8Array[],
): OracleHead {
  const values = leaves.map((leaf, i) => {
    const label = Buffer.alloc(9);
    label[0] = direction;
    label.writeBigUInt64BE(BigInt(i), 1);
    const key = createHmac("sha256", kc).update(label).digest();
    return new Uint8Array(createHmac("sha256", key).update(leaf).digest());
  });
  const bytes = leaves.reduce((sum, leaf) => sum + leaf.length, 0);
  return { leaves: leaves.length, root: treeHash(values), bytes };
}

/** RFC 9162 §2.1.1, as written: split at the largest power of two below the count. */
function treeHash(values: readonly Uint8Array[]): Uint8Array {
  const [first] = values;
  if (first === undefined) return digest("sha256");
  if (values.length === 1) return digest("sha256", Uint8Array.of(0), first);
  let split = 1;
  while (split * 2 < values.length) split *= 2;
  const [left, right] = [treeHash(values.slice(0, split)), treeHash(values.slice(split))];
  return digest("sha256", Uint8Array.of(1), left, right);
}
