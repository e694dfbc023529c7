import { Hash } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { encodeEnvelope, encodeProvisioning } from "@countersign/protocol";
import { requireFeeds } from "../../../enclave/engine/feeds.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { LogFields } from "../../../enclave/log.ts";
import { type FetchModelFile, loadModels } from "../../../enclave/models/load.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import { BootHost } from "../../fakes/boot-host.ts";
import { type HeldKeys, heldKeys } from "../../fakes/key-services.ts";
import { identityModel, writeModel } from "../../fakes/onnx-proto.ts";
import { newVendor } from "../../fakes/ring.ts";
import {
  ENVELOPE,
  joined,
  notedFetch,
  SEGMENT,
  sealedSegments,
  type SealedModels,
  sealModels,
  TAG,
} from "../../fakes/sealed-files.ts";
import {
  fetchFrom,
  loadTestModels,
  provisioningOf,
  TEST_OPTIONS,
  type TestModel,
} from "../../fakes/served.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, at) => at + 1);
const WEIGHTS = 2 * SEGMENT + 64;
/** x + w, with w in a file of three segments beside the graph. */
const MODEL: TestModel = {
  id: "m",
  files: {
    "model.onnx": writeModel({
      inputs: [{ name: "x", datatype: "FP32", shape: [WEIGHTS / 4] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [WEIGHTS / 4] }],
      nodes: [{ op: "Add", inputs: ["x", "w"], outputs: ["y"] }],
      initializers: [
        {
          name: "w",
          datatype: "FP32",
          shape: [WEIGHTS / 4],
          data: { location: "weights", length: WEIGHTS },
        },
      ],
    }),
    weights: Uint8Array.from({ length: WEIGHTS }, (_, at) => (at % 4 === 3 ? 64 : (at * 7) & 127)),
  },
};
const SMALL: TestModel = { id: "s", files: { "model.onnx": identityModel("FP32", [2]) } };

const open: ServedModels[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

interface Loading {
  readonly keys: HeldKeys;
  readonly lines: { readonly event: string; readonly fields: LogFields }[];
  readonly asked: (readonly [string, number])[];
  /** "loaded", or the code of the refusal. */
  readonly ended: Promise<unknown>;
}

function load(
  { provisioning, stored }: SealedModels,
  options: {
    readonly fetch?: FetchModelFile;
    readonly keys?: HeldKeys;
    readonly availableBytes?: () => number;
  } = {},
): Loading {
  const keys = options.keys ?? heldKeys(() => KEY);
  const lines: Loading["lines"] = [];
  const asked: (readonly [string, number])[] = [];
  const fetch = notedFetch(options.fetch ?? fetchFrom(stored), asked);
  const loading = loadModels(provisioning, fetch, {
    ...TEST_OPTIONS,
    availableBytes: options.availableBytes ?? TEST_OPTIONS.availableBytes,
    keys,
    log: (event, fields = {}) => lines.push({ event, fields }),
  });
  const ended = loading.then(
    (served) => {
      open.push(served);
      return "loaded";
    },
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );
  return { keys, lines, asked, ended };
}

function expectOverwritten({ given }: HeldKeys): void {
  expect(given.map((key) => [...key])).toEqual(given.map(() => [...new Uint8Array(32)]));
}

/** `stored` with one of its files changed. */
function changed(
  models: SealedModels,
  path: string,
  change: (sealed: Uint8Array) => Uint8Array,
): SealedModels {
  const stored = models.stored.map((model) => {
    const bytes = model.files[path];
    if (bytes === undefined) return model;
    return { ...model, files: { ...model.files, [path]: change(bytes) } };
  });
  return { ...models, stored };
}

function segment(sealed: Uint8Array, at: number): Uint8Array {
  return sealed.subarray(at * (SEGMENT + TAG), (at + 1) * (SEGMENT + TAG));
}

describe("a sealed model", () => {
  it("is the same as in the clear: its digest, and what it answers with", async () => {
    const { ended, asked, keys, lines } = load(sealModels([MODEL], KEY));
    expect(await ended).toBe("loaded");
    const plain = await loadTestModels([MODEL]);
    open.unshift(plain);
    expect(open.map(({ refs }) => refs)).toEqual([plain.refs, plain.refs]);
    const answers = [];
    for (const served of open) {
      const model = served.lookup("m", null);
      if (model === null) throw new Error("not served");
      const zeros = {
        datatype: "FP32",
        shape: [WEIGHTS / 4],
        elements: new Uint8Array(WEIGHTS),
      } as const;
      const feeds = requireFeeds(model.inputs, new Map([["x", zeros]]), WEIGHTS);
      const [y] = await served.infer(model, feeds, [0], new AbortController().signal);
      if (!(y?.elements instanceof Uint8Array)) throw new Error("no floats");
      answers.push(Buffer.from(y.elements));
    }
    expect(answers[0]?.length).toBe(WEIGHTS);
    expect(answers[0]?.equals(Buffer.from(MODEL.files["weights"] ?? []))).toBe(true);
    expect(answers[1]?.equals(answers[0] ?? Buffer.alloc(0))).toBe(true);
    // What lies at the host is asked for by its length there.
    const graphBytes = MODEL.files["model.onnx"]?.length ?? 0;
    expect(asked).toEqual([
      ["m/1/model.onnx", graphBytes + TAG],
      ["m/1/weights", WEIGHTS + 3 * TAG],
    ]);
    expectOverwritten(keys);
    expect(lines.map(({ event }) => event)).toEqual(["memory", "key-released", "model-loaded"]);
    expect(lines[1]?.fields).toMatchObject({
      id: "m",
      version: "1",
      kind: "file",
    });
  });

  it("lies beside others, each with a key of its own, and beside one in the clear", async () => {
    const keyOf = (at: number): Uint8Array => new Uint8Array(32).fill(at + 1);
    const models = ["1", "2", "3"].map((version) => ({ ...SMALL, version }));
    const each = models.map((model, at) => sealModels([model], keyOf(at)));
    const plain = { ...SMALL, id: "plain" };
    const rows = each.map(({ provisioning }, at) => {
      const [row] = provisioning.models;
      if (row === undefined) throw new Error("no row");
      const wrapped = new Uint8Array(60).fill(at);
      return { ...row, envelope: encodeEnvelope({ ...ENVELOPE, wrapped }) };
    });
    const provisioning = provisioningOf([plain]);
    const keys = heldKeys(({ wrapped }) => keyOf(wrapped[0] ?? 0));
    const { ended, lines } = load(
      {
        provisioning: { ...provisioning, models: [...rows, ...provisioning.models] },
        stored: [...each.flatMap(({ stored }) => stored), plain],
      },
      { keys },
    );
    expect(await ended).toBe("loaded");
    expect(lines.map(({ event }) => event)).toEqual([
      "memory",
      ...rows.map(() => "key-released"),
      ...[...rows, plain].map(() => "model-loaded"),
    ]);
    expect(keys.asked.map(({ modelDigest }) => modelDigest)).toEqual(
      rows.map(({ digest }) => digest),
    );
    expectOverwritten(keys);
  });

  it("is not fetched where its key is denied, nor is any other", async () => {
    const models = sealModels([MODEL, SMALL], KEY);
    let times = 0;
    const keys = heldKeys(() => (times++ === 0 ? KEY : new EnclaveError("key/denied", "no")));
    const { ended, asked, lines } = load(models, { keys });
    expect(await ended).toBe("key/denied");
    expect(asked).toEqual([]);
    expect(keys.given.length).toBe(1);
    expectOverwritten(keys);
    expect(lines.at(-1)).toEqual({
      event: "model-refused",
      fields: { id: "s", version: "1", code: "key/denied" },
    });
  });

  it("has no key asked for where there is no room for it, or its envelope is none", async () => {
    const models = sealModels([MODEL], KEY);
    const small = load(models, { availableBytes: () => 1 });
    expect(await small.ended).toBe("boot/memory");
    expect(small.keys.asked).toEqual([]);
    const [row] = models.provisioning.models;
    if (row === undefined) throw new Error("no row");
    const envelope = row.envelope?.slice(0, -1) ?? null;
    const none = load({
      ...models,
      provisioning: { ...models.provisioning, models: [{ ...row, envelope }] },
    });
    expect(await none.ended).toBe("seal/envelope");
    expect(none.keys.asked).toEqual([]);
    expect(none.lines.at(-1)?.fields["code"]).toBe("seal/envelope");
  });
});

describe("a host that", () => {
  const sealed = sealModels([MODEL], KEY);
  const other = sealModels([{ ...MODEL, files: { ...MODEL.files, "readme.md": KEY } }], KEY);

  it.each<[string, SealedModels]>([
    [
      "swaps two segments",
      changed(sealed, "weights", (bytes) =>
        joined([segment(bytes, 1), segment(bytes, 0), segment(bytes, 2)]),
      ),
    ],
    [
      "drops a segment",
      changed(sealed, "weights", (bytes) => joined([segment(bytes, 0), segment(bytes, 2)])),
    ],
    [
      "drops the last",
      changed(sealed, "weights", (bytes) => joined([segment(bytes, 0), segment(bytes, 1)])),
    ],
    [
      "doubles a segment",
      changed(sealed, "weights", (bytes) =>
        joined([segment(bytes, 0), segment(bytes, 0), segment(bytes, 2)]),
      ),
    ],
    ["cuts a file", changed(sealed, "weights", (bytes) => bytes.subarray(0, -1))],
    ["sends nothing", changed(sealed, "weights", () => new Uint8Array(0))],
    ["sends more", changed(sealed, "weights", (bytes) => joined([bytes, KEY]))],
    [
      "changes one bit",
      changed(sealed, "weights", (bytes) => {
        const copy = bytes.slice();
        copy[SEGMENT + 100] = (copy[SEGMENT + 100] ?? 0) ^ 4;
        return copy;
      }),
    ],
    [
      "sends one file for another",
      changed(sealed, "weights", () => sealed.stored[0]?.files["model.onnx"] ?? KEY),
    ],
    ["sends what is in it", changed(sealed, "weights", () => MODEL.files["weights"] ?? KEY)],
    [
      "sends another version's file under the same key",
      changed(sealed, "weights", () => other.stored[0]?.files["weights"] ?? KEY),
    ],
    [
      "sends what another key sealed",
      { ...sealed, stored: sealModels([MODEL], new Uint8Array(32)).stored },
    ],
  ])("%s has no model served, and leaves no key", async (_, lying) => {
    const { ended, keys, lines } = load(lying);
    expect(await ended).toBe("model/sealed");
    expect(keys.given.length).toBe(1);
    expectOverwritten(keys);
    expect(lines.at(-1)).toEqual({
      event: "model-refused",
      fields: { id: "m", version: "1", code: "model/sealed" },
    });
  });

  it("stops in the middle leaves no key", async () => {
    const fetch: FetchModelFile = async function* (id, version, path, size) {
      for await (const chunk of fetchFrom(sealed.stored)(id, version, path, size)) {
        yield chunk.subarray(0, 1000);
        if (path === "weights") throw new EnclaveError("provision/slow", "nothing for a while");
        yield chunk.subarray(1000);
      }
    };
    const { ended, keys } = load(sealed, { fetch });
    expect(await ended).toBe("provision/slow");
    expectOverwritten(keys);
  });

  it("changes the last file has nothing left of the first either", async () => {
    const graphBytes = MODEL.files["model.onnx"]?.length ?? 0;
    const buffers = new Set<ArrayBufferLike>();
    // What is hashed is in the buffer that would be used.
    const update = vi.spyOn(Hash.prototype, "update");
    const lying = changed(sealed, "weights", (bytes) => bytes.subarray(0, -1));
    const { ended } = load(lying);
    expect(await ended).toBe("model/sealed");
    for (const call of update.mock.calls) {
      const piece: unknown = call[0];
      if (piece instanceof Uint8Array) buffers.add(piece.buffer);
    }
    update.mockRestore();
    const files = [...buffers].filter(({ byteLength }) =>
      [graphBytes, WEIGHTS].includes(byteLength),
    );
    expect(files.map(({ byteLength }) => byteLength)).toEqual([graphBytes, WEIGHTS]);
    for (const file of files) {
      expect(Buffer.from(file).equals(Buffer.alloc(file.byteLength))).toBe(true);
    }
  });

  it("sends a sealed file for one in the clear is refused by its length", async () => {
    const { ended } = load({ ...sealed, provisioning: provisioningOf([MODEL]) });
    expect(await ended).toBe("model/size");
  });

  it("has other weights, sealed under the right key, is refused by the manifest", async () => {
    const [row] = sealed.provisioning.models;
    const weights = MODEL.files["weights"]?.slice() ?? new Uint8Array(0);
    weights[0] = (weights[0] ?? 0) ^ 1;
    const modelDigest = row?.digest ?? new Uint8Array(0);
    const forged = joined(sealedSegments({ key: KEY, modelDigest, index: 1 }, weights));
    const { ended, keys } = load(changed(sealed, "weights", () => forged));
    expect(await ended).toBe("model/hash");
    expectOverwritten(keys);
  });
});

describe("an enclave whose key services do not fit", () => {
  it("ends before it fetches a file, and before anything is measured", async () => {
    const host = await BootHost.make(newVendor());
    try {
      const { provisioning } = sealModels([SMALL], KEY);
      await host.listen(() => false, encodeProvisioning(provisioning));
      await expect(host.boot()).rejects.toMatchObject({ code: "key-services/none" });
      expect(host.asked).toEqual(["/provisioning"]);
      expect(host.phases).toEqual(["boot", "configured", "closed"]);
      expect(host.lines.at(-2)).toEqual({
        event: "model-refused",
        fields: { id: "s", version: "1", code: "key-services/none" },
      });
    } finally {
      await host.close();
    }
  });
});
