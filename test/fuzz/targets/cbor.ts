/** The CBOR decoder in both of its profiles. */
import {
  type CborProfile,
  CborTag,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  isArray,
  isMap,
} from "@countersign/attestation";
import { mutateBytes } from "../bytes.ts";
import { makeLab } from "../lab.ts";
import { readOwn } from "../oracle/epoch.ts";
import { equal } from "../oracle/x509.ts";
import type { Random } from "../random.ts";
import { awsDocuments } from "../seeds.ts";
import { Breach, type Input, requireHeld, type Seed, type Target } from "../target.ts";
import { all, type Element, inside, isMinimal, MAJOR, write } from "../tree/element.ts";
import { mutateTree } from "../tree/mutation.ts";
import { readCbor, unfold } from "../tree/reading.ts";
import { runTwice } from "./twice.ts";

/** As documents are read, but deeper. */
const VENDOR: CborProfile = { form: "vendor", maxBytes: 16_384, maxDepth: 8, maxItems: 128 };
const SIMPLE: ReadonlyMap<bigint, CborValue> = new Map<bigint, CborValue>([
  [20n, false],
  [21n, true],
  [22n, null],
]);

/** Structures in structures are inputs of their own. */
export async function makeTarget(seed: number): Promise<Target> {
  const lab = await makeLab(seed);
  const wholes = [...lab.proofs, ...lab.documents, ...awsDocuments().map(({ bytes }) => bytes)];
  return {
    name: "cbor",
    batch: 256,
    seeds: wholes.flatMap(structuresIn).map((bytes): Seed => {
      return { bytes, stance: null, signed: [], genuine: true };
    }),
    mutate,
    async run({ bytes }) {
      const own = await runTwice(
        () => decodeCbor(bytes, DETERMINISTIC),
        (value) => {
          requireHeld(equal(encodeCbor(value), bytes), "took what it would not write");
          requireValue(value, readOwn(bytes, "an item"));
        },
      );
      const vendor = await runTwice(
        () => decodeCbor(bytes, VENDOR),
        (value) => requireVendor(value, bytes),
      );
      return { outcome: vendor.outcome, breach: own.breach ?? vendor.breach };
    },
  };
}

function requireVendor(value: CborValue, bytes: Uint8Array): void {
  const item = readCbor(bytes);
  if (item === null) throw new Breach("took what is no CBOR");
  const exempt = item.type === MAJOR.map && item.width === "indefinite" ? item : undefined;
  requireHeld(isMinimal(item, exempt), "took what is not in its shortest form");
  requireValue(value, item);
}

/** The value is what the item says. */
function requireValue(value: CborValue, item: Element): void {
  requireHeld(sameValue(value, item), "decoded another value");
}

function sameValue(value: CborValue | undefined, item: Element | undefined): boolean {
  if (value === undefined || item === undefined) return false;
  const { type, children } = item;
  switch (type) {
    case MAJOR.uint:
      return (
        (typeof value === "number" || typeof value === "bigint") && BigInt(value) === item.value
      );
    case MAJOR.negative:
      return (
        (typeof value === "number" || typeof value === "bigint") &&
        BigInt(value) === -1n - item.value
      );
    case MAJOR.bytes:
      return value instanceof Uint8Array && equal(value, inside(item));
    case MAJOR.text:
      return typeof value === "string" && equal(Buffer.from(value, "utf8"), inside(item));
    case MAJOR.array:
      if (!isArray(value) || value.length !== children.length) return false;
      return children.every((child, i) => sameValue(value[i], child));
    case MAJOR.map: {
      // A key that came twice would make the map smaller than the item.
      if (!isMap(value) || value.size * 2 !== children.length) return false;
      const entries = [...value].flat();
      return children.every((child, i) => sameValue(entries[i], child));
    }
    case MAJOR.tag:
      return (
        value instanceof CborTag &&
        BigInt(value.tag) === item.value &&
        sameValue(value.value, children[0])
      );
    default:
      return SIMPLE.has(item.value) && SIMPLE.get(item.value) === value;
  }
}

function mutate(random: Random, parent: Input, other: Input): Input {
  const root = random.once(2) ? readCbor(parent.bytes) : null;
  if (root === null) {
    return { bytes: mutateBytes(random, parent.bytes, other.bytes), stance: null, signed: [] };
  }
  mutateTree(random, root, readCbor(other.bytes) ?? root);
  return { bytes: write(root), stance: null, signed: [] };
}

function structuresIn(bytes: Uint8Array): readonly Uint8Array[] {
  const root = readCbor(bytes);
  if (root === null) return [bytes];
  const held = all(unfold(root)).filter(
    ({ type, children: [child] }) => type === MAJOR.bytes && child?.format === "cbor",
  );
  return [bytes, ...held.map(inside)];
}
