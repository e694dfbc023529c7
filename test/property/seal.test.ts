import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  encodeEnvelope,
  encodeProvisioning,
  encodeSeal,
  type Envelope,
  MAX_WRAPPED_BYTES,
  parseEnvelope,
  parseProvisioning,
  parseSeal,
  ProtocolError,
} from "@countersign/protocol";
import { fileProvider, SealingError, sealModels, unsealModels } from "@countersign/sealing";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength });
const digits = (length: number, alphabet: string): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...alphabet.split("")), minLength: length, maxLength: length });
const HEX = "0123456789abcdef";

const arn = fc
  .tuple(
    fc.constantFrom("eu-central-1", "us-east-1", "ap-southeast-4", "dev-local-1"),
    digits(12, "0123456789"),
    digits(32, HEX),
  )
  .map(([region, account, id]) => `arn:aws:kms:${region}:${account}:key/mrk-${id}`);
const envelopes: fc.Arbitrary<Envelope> = fc.oneof(
  fc.record({
    kind: fc.constant("file" as const),
    key: digits(32, HEX),
    wrapped: bytes(MAX_WRAPPED_BYTES, 1),
  }),
  fc.record({
    kind: fc.constant("aws-kms" as const),
    key: arn,
    wrapped: bytes(MAX_WRAPPED_BYTES, 1),
  }),
);

/** What `run` throws that is no error of ours; null otherwise. */
function foreignError(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error instanceof ProtocolError ? null : error;
  }
  return null;
}

/** The same envelope encoded anew; null where `input` is none. */
function reencoded(input: Uint8Array): Uint8Array | null {
  try {
    return encodeEnvelope(parseEnvelope(input));
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/** One byte changed, taken away or put in. */
const damages = fc.record({
  what: fc.constantFrom("change", "cut", "insert"),
  where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  by: fc.integer({ min: 1, max: 255 }),
});
type Damage = typeof damages extends fc.Arbitrary<infer T> ? T : never;

function damaged(input: Uint8Array, { what, where, by }: Damage): Uint8Array {
  const at = Math.floor(where * input.length);
  const [before, after] = [input.subarray(0, at), input.subarray(at + 1)];
  const found = input[at] ?? 0;
  if (what === "cut") return Buffer.concat([before, after]);
  if (what === "insert") return Buffer.concat([before, Buffer.of(by), input.subarray(at)]);
  return Buffer.concat([before, Buffer.of(found ^ by), after]);
}

describe("seals and envelopes", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(envelopes, bytes(300, 1), (envelope, manifest) => {
        const encoded = encodeEnvelope(envelope);
        expect(parseEnvelope(encoded)).toEqual(envelope);
        const seal = { manifest, envelope: encoded };
        expect(parseSeal(encodeSeal(seal))).toEqual(seal);
      }),
    );
  });

  it.each([
    ["an envelope", parseEnvelope],
    ["a seal", parseSeal],
  ])("any bytes are %s, or refused by name", (_, parse) => {
    fc.assert(
      fc.property(bytes(200), (input) => {
        expect(foreignError(() => parse(input))).toBeNull();
      }),
    );
  });

  it("have one encoding: whatever parses, encodes to the same bytes", () => {
    fc.assert(
      fc.property(envelopes, damages, (envelope, damage) => {
        const input = damaged(encodeEnvelope(envelope), damage);
        expect(Buffer.compare(reencoded(input) ?? input, input)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it("travel with a boot's configuration", () => {
    fc.assert(
      fc.property(fc.option(envelopes), bytes(100), (envelope, manifest) => {
        const model = { id: "m", version: "1", digest: new Uint8Array(32), manifest };
        const sealed = envelope === null ? null : encodeEnvelope(envelope);
        const whole = {
          models: [{ ...model, envelope: sealed }],
          limits: LIMITS,
        };
        expect(parseProvisioning(encodeProvisioning(whole))).toEqual(whole);
      }),
    );
  });
});

const LIMITS = {
  maxRequestBytes: 1024,
  queueLength: 1,
  epochSeconds: 1,
  epochOverlapSeconds: 0,
  inferenceTimeoutMs: 1,
  replaySlots: 16,
  intraOpThreads: 0,
  cacheBytes: 1_048_576,
  maxSequences: 1,
};

describe("a sealed version", () => {
  const provider = fileProvider(new Uint8Array(32).fill(1));
  const around = {
    progress: { begin: (): void => undefined, at: (): void => undefined },
    signal: new AbortController().signal,
  };
  let folder: string;
  let sealed: string;
  let names: readonly string[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-seal-property-"));
    const model = join(folder, "model");
    sealed = join(folder, "sealed");
    await makeModel(model);
    await sealModels(model, sealed, provider, around);
    names = await readdir(sealed);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  it("opens to nothing at all where one byte of it is another", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), damages, async (which, damage) => {
        const path = join(sealed, names[which % names.length] ?? "");
        const before = await readFile(path);
        await writeFile(path, damaged(before, damage));
        run += 1;
        const out = join(folder, `out-${run}`);
        try {
          const refusal = await unsealModels(sealed, out, async () => provider, around).then(
            () => null,
            (error: unknown) => error,
          );
          expect(refusal).toBeInstanceOf(SealingError);
          expect((await readdir(folder)).filter((name) => name.includes("out"))).toEqual([]);
        } finally {
          await writeFile(path, before);
        }
      }),
      { numRuns: 300 },
    );
    await unsealModels(sealed, join(folder, "whole"), async () => provider, around);
  });
});

async function makeModel(directory: string): Promise<void> {
  await mkdir(directory);
  await writeFile(join(directory, "model.onnx"), Buffer.alloc(700, "graph"));
  await writeFile(join(directory, "metadata.json"), "{}");
}
