/** CBOR: we, cborg in its strict mode, and cbor-x as it comes. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  type CborProfile,
  CborTag,
  concatBytes,
  DETERMINISTIC,
  encodeHex,
} from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { randomFrom } from "../fakes/fuzz.ts";
import { hex } from "../fakes/nitro.ts";
import { mutateCbor, ODD_ITEMS } from "./cbor-mutants.ts";
import { cborgReading, cborXReading, difference, ourReading } from "./cbor-oracles.ts";
import { CBORG_RULES, CBOR_X_RULES } from "./cbor-rules.ts";
import { corpusDocuments, genuineDocuments, ownDocuments } from "./documents.ts";
import { Ledger } from "./ledger.ts";

/** As they are pinned, exactly. */
const VERSIONS = versions();

/** Those of cose.ts and of nitro.ts. */
const ENVELOPE: CborProfile = { ...DETERMINISTIC, maxDepth: 4, maxItems: 64, maxBytes: 16_384 };
const PAYLOAD: CborProfile = { form: "vendor", maxDepth: 2, maxItems: 128, maxBytes: 16_384 };

const SEED = 0xcb08;
/** Of envelopes, and of payloads; COUNTERSIGN_FUZZ=full for very many. */
const TEN_MINUTES = 600_000;
const MUTANTS = process.env["COUNTERSIGN_FUZZ"] === "full" ? 250_000 : 5000;

function versions(): Readonly<Record<string, string>> {
  const file = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
  return (JSON.parse(file) as { devDependencies: Record<string, string> }).devDependencies;
}

interface Item {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Items {
  readonly kind: "envelope" | "payload";
  readonly profile: CborProfile;
  readonly list: readonly Item[];
}

/** Each envelope once, and each payload that cbor-x finds in one. */
async function documents(): Promise<readonly Items[]> {
  const envelopes = new Map<string, Item>();
  const payloads = new Map<string, Item>();
  const own = (await ownDocuments()).filter(({ name }) => name.startsWith("length "));
  for (const { name, document } of [...own, ...genuineDocuments(), ...corpusDocuments()]) {
    add(envelopes, name, document);
    const { value } = cborXReading(document);
    const fields: unknown = value instanceof CborTag ? value.value : value;
    const payload: unknown = Array.isArray(fields) ? fields[2] : undefined;
    if (payload instanceof Uint8Array) add(payloads, name, new Uint8Array(payload));
  }
  return [
    { kind: "envelope", profile: ENVELOPE, list: [...envelopes.values()] },
    { kind: "payload", profile: PAYLOAD, list: [...payloads.values()] },
  ];
}

function add(to: Map<string, Item>, name: string, bytes: Uint8Array): void {
  const key = createHash("sha256").update(bytes).digest("hex");
  if (!to.has(key)) to.set(key, { name, bytes });
}

/** Each odd item alone, and in every place that an item can have. */
function* oddItems(): Generator<Item> {
  for (const odd of ODD_ITEMS) {
    const places = {
      "": [],
      "in a list": ["81"],
      "as a value": ["a100"],
      "as a key": ["a1", "00"],
    };
    for (const [place, [before = "", after = ""]] of Object.entries(places)) {
      const bytes = concatBytes(hex(before), odd, hex(after));
      yield { name: `${encodeHex(odd)} ${place}`.trim(), bytes };
    }
  }
}

class Comparison {
  readonly cborg = new Ledger(`cborg ${VERSIONS["cborg"]}`, CBORG_RULES);
  readonly cborX = new Ledger(`cbor-x ${VERSIONS["cbor-x"]}`, CBOR_X_RULES);

  enter({ name, bytes }: Item, profile: CborProfile): void {
    const ours = ourReading(bytes, profile);
    const subject = name + traitsOf(ours.value);
    const readings = [
      [this.cborg, cborgReading(bytes, profile)],
      [this.cborX, cborXReading(bytes)],
    ] as const;
    for (const [ledger, theirs] of readings) {
      const both = ours.opinion.accepts && theirs.opinion.accepts;
      const other = both ? difference(ours.value, theirs.value) : null;
      ledger.enter(subject, ours.opinion, theirs.opinion, other);
    }
  }
}

/** What rules go by: whether an item that we accept holds tags, or text that begins with U+FEFF. */
function traitsOf(value: unknown): string {
  const tagged = holds(value, (item) => item instanceof CborTag);
  const marked = holds(value, (item) => typeof item === "string" && item.startsWith("\uFEFF"));
  return (tagged ? ", tagged" : "") + (marked ? ", with U+FEFF" : "");
}

function holds(value: unknown, wanted: (item: unknown) => boolean): boolean {
  if (wanted(value)) return true;
  const inside: readonly unknown[] =
    value instanceof Map ? [...value].flat(1) : value instanceof CborTag ? [value.value] : [];
  return (Array.isArray(value) ? value : inside).some((item) => holds(item, wanted));
}

describe("CBOR", () => {
  it(
    "is read by us and two other decoders alike, or the difference is explained",
    { timeout: TEN_MINUTES },
    async () => {
      const comparison = new Comparison();
      const random = randomFrom(SEED);
      for (const { kind, profile, list } of await documents()) {
        // Without our limits more of a mutant is read.
        const unlimited = { ...profile, maxDepth: 64, maxItems: 65_536 };
        for (const item of list) {
          comparison.enter({ ...item, name: `${kind} of ${item.name}` }, profile);
        }
        for (const item of oddItems()) comparison.enter(item, unlimited);
        for (let index = 0; index < MUTANTS; index++) {
          const { name, bytes } = list[index % list.length] ?? {
            name: "",
            bytes: new Uint8Array(),
          };
          const mutant = { name: `${kind} ${index} of ${name}`, bytes: mutateCbor(random, bytes) };
          comparison.enter(mutant, random() < 0.5 ? profile : unlimited);
        }
      }
      const { cborg, cborX } = comparison;
      console.log(`${cborg.report()}\n${cborX.report()}`);
      expect([...cborg.unexplained, ...cborX.unexplained]).toEqual([]);
      expect([...cborg.stale, ...cborX.stale]).toEqual([]);
      for (const { agreed } of [cborg, cborX]) {
        expect(Math.min(agreed.accepted, agreed.refused)).toBeGreaterThan(MUTANTS / 20);
      }
    },
  );
});
