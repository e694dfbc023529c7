/** Receipts, by the key that should have signed them. */
import {
  encodeReceiptClaims,
  importReceiptKey,
  parseReceipt,
  type Receipt,
  type ReceiptKey,
  verifyReceipt,
} from "@countersign/attestation";
import { mutateBytes } from "../bytes.ts";
import { type Lab, makeLab } from "../lab.ts";
import { marksIn } from "../oracle/document.ts";
import { requireReceipt } from "../oracle/epoch.ts";
import { equal, hexOf } from "../oracle/x509.ts";
import type { Random } from "../random.ts";
import { resignReceipt } from "../resign.ts";
import { twin } from "../signer.ts";
import { requireHeld, type Input, type Seed, type Target } from "../target.ts";
import { fill, inside, write } from "../tree/element.ts";
import { mutateTree } from "../tree/mutation.ts";
import { readCbor, unfold } from "../tree/reading.ts";
import { runTwice } from "./twice.ts";

export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const seeds: readonly Seed[] = lab.receipts.map(({ bytes, point }) => ({
    bytes,
    stance: { ...lab.strict, policy: hexOf(point) },
    signed: marksIn(bytes),
    genuine: true,
  }));
  const known = new Set(seeds.flatMap(({ signed }) => signed));
  const keys = new Map<string, Promise<ReceiptKey>>();
  return {
    name: "receipt",
    batch: 128,
    seeds,
    mutate(random, parent, other) {
      const input = mutated(random, parent, other, lab);
      for (const mark of input.signed) known.add(mark);
      return input;
    },
    run({ bytes, stance, signed }) {
      for (const mark of signed) known.add(mark);
      const point = new Uint8Array(Buffer.from(stance?.policy ?? "", "hex"));
      const name = hexOf(point);
      const key = keys.get(name) ?? importReceiptKey(point);
      keys.set(name, key);
      return runTwice(
        async () => {
          const receipt = parseReceipt(bytes);
          await verifyReceipt(receipt, await key);
          return receipt;
        },
        (receipt) => requireSame(receipt, bytes, { point, known }),
      );
    },
  };
}

function requireSame(
  { claims, payload }: Receipt,
  bytes: Uint8Array,
  by: { readonly point: Uint8Array; readonly known: ReadonlySet<string> },
): void {
  requireReceipt(bytes, by.point, by.known);
  // What was read is all that was signed: written again, it is the same.
  requireHeld(equal(encodeReceiptClaims(claims), payload), "claims were read that nobody signed");
}

function mutated(random: Random, parent: Input, other: Input, lab: Lab): Input {
  // Another epoch's key, once in a while.
  const stance = random.once(16) ? other.stance : parent.stance;
  const { signed } = parent;
  const root = random.once(3) ? null : readCbor(parent.bytes);
  if (root === null) {
    return { bytes: mutateBytes(random, parent.bytes, other.bytes), stance, signed };
  }
  const item = root.children[0]?.children[3];
  if (item !== undefined && random.once(16)) {
    // With the other s, which ECDSA itself takes.
    fill(item, twin("P-256", inside(item)));
    return { bytes: write(root), stance, signed };
  }
  const donor = readCbor(other.bytes) ?? root;
  mutateTree(random, unfold(root), unfold(donor));
  const marks = random.once(4) ? [] : resignReceipt(root, lab.keys.get(stance?.policy ?? ""));
  return { bytes: write(root), stance, signed: [...marks, ...signed].slice(0, 4) };
}
