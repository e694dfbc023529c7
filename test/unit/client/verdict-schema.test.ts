import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as library from "@countersign/attestation";
import {
  encodeProof,
  encodeUtf8,
  EVIDENCE_CHECKS,
  EXCHANGE_CHECKS,
  PLATFORMS,
} from "@countersign/attestation";
import { encodeRequestPreamble, encodeResponsePreamble } from "@countersign/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { attestCommand } from "../../../client/cli/commands/attest.ts";
import { verifyCommand } from "../../../client/cli/commands/verify.ts";
import { FAILURES } from "../../../client/cli/failures.ts";
import { jsonLine } from "../../../client/cli/terminal.ts";
import { NO_EXTRAS, verdictLine } from "../../../client/cli/verdict-line.ts";
import { readCorpus } from "../../corpus/files.ts";
import { judge } from "../../corpus/judge.ts";
import {
  createAttester,
  type FakeEpoch,
  makeEpoch,
  makeExchange,
  seededRandom,
} from "../../fakes/attester.ts";
import { type Schema, violation } from "../../fakes/json-schema.ts";
import { missing, listVectors } from "../../shared.ts";
import { type Ran, runCommand } from "./command-line.ts";
import { attestationErrorCodes } from "./source-codes.ts";

const ROOT = new URL("../../../", import.meta.url);
const SCHEMA = schemaOf("client/verdict.schema.json");
const AWS_POLICY = new URL("examples/aws-nitro.policy.json", ROOT).pathname;

/** `verify` judges by the clock. */
const NOW_MS = Math.floor(Date.now() / 1000) * 1000;
const HOUR_MS = 3_600_000;

const LEAVES = {
  requestLeaves: [
    encodeRequestPreamble({
      method: "POST",
      scheme: "https",
      authority: "",
      path: "/v2",
      headers: [["x-mine", "1"]],
    }),
    encodeUtf8("{}"),
  ],
  responseLeaves: [encodeResponsePreamble(200, [["content-type", "x/y"]]), Uint8Array.of(0xff)],
};

type Line = Readonly<Record<string, unknown>>;

let directory: string;
let policy: string;
let epoch: FakeEpoch;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  epoch = await makeEpoch(createAttester({ random: seededRandom("schema"), nowMs: NOW_MS }));
  policy = await file("policy.json", epoch.policyText);
  await file("bundle", epoch.bundle);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

function schemaOf(path: string): Schema {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file
  return JSON.parse(readFileSync(new URL(path, ROOT), "utf8")) as Schema;
}

/** The values of an enum of the schema. */
function choices(name: string): unknown {
  const definitions = Object.entries(SCHEMA["$defs"] ?? {});
  const found: unknown = definitions.find(([key]) => key === name)?.[1];
  return typeof found === "object" && found !== null && "enum" in found ? found.enum : null;
}

async function file(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

/** Lines of `--json`, each of which must satisfy the schema. */
function linesOf({ lines }: Ran): readonly Line[] {
  return lines.map((line) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- judged in the next statement
    const value = JSON.parse(line) as Line;
    expect(violation(value, SCHEMA, SCHEMA), line).toBeNull();
    return value;
  });
}

async function attested(...words: readonly string[]): Promise<readonly Line[]> {
  const defaults = words.includes("--policy") ? [] : ["--policy", policy];
  return linesOf(await runCommand(attestCommand, [...words, ...defaults, "--json"]));
}

async function attestedAt(path: string, atMs: number): Promise<Line> {
  return only(await attested(path, "--at", String(atMs)));
}

async function verified(path: string, ...words: readonly string[]): Promise<Line> {
  const all = [path, ...words, "--policy", policy, "--json"];
  return only(linesOf(await runCommand(verifyCommand, all)));
}

function only(lines: readonly Line[]): Line {
  const [line] = lines;
  if (line === undefined || lines.length !== 1) throw new TypeError(`${lines.length} lines`);
  return line;
}

async function proofFile(name: string, opened: boolean): Promise<string> {
  const { receipt, kc, requestLeaves, responseLeaves } = await makeExchange(epoch, LEAVES);
  const opening = opened ? { kc, request: requestLeaves, response: responseLeaves } : null;
  return file(name, encodeProof({ receipt, bundle: epoch.bundle, opening }));
}

describe("the schema of verdicts", () => {
  it("has the values that the code has, in its order", () => {
    expect(choices("checkId")).toEqual([...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS]);
    expect(choices("failure")).toEqual(Object.keys(FAILURES));
    expect(choices("code")).toEqual(attestationErrorCodes());
    expect(choices("platform")).toEqual(PLATFORMS);
  });

  it("needs every member of every object, and takes no other", async () => {
    const line = await verified(await proofFile("whole", true), "--opening");
    const objects = objectsIn(line);
    expect(objects.length).toBeGreaterThan(23 + 5);
    for (const { pointer, members } of objects) {
      for (const key of members) {
        const less = changed(line, pointer, (object) => Reflect.deleteProperty(object, key));
        expect(violation(less, SCHEMA, SCHEMA), `${pointer} without ${key}`).not.toBeNull();
      }
      const more = changed(line, pointer, (object) => Reflect.set(object, "surplus", 1));
      expect(violation(more, SCHEMA, SCHEMA), `${pointer} with more`).not.toBeNull();
    }
  });

  it.each([
    ["another version", { version: 2 }],
    ["verified with a class of failure", { failure: "stale" }],
    ["rejected without one", { result: "rejected" }],
    ["incomplete without a reason", { result: "incomplete", failure: "unreachable" }],
    ["a time without zone", { judgedAt: "2026-01-01T00:00:00.000" }],
    ["an unknown platform", { platform: "imaginary" }],
    ["too few checks", { checks: [] }],
  ])("refuses %s", async (_, change) => {
    const line = await attestedAt(join(directory, "bundle"), NOW_MS);
    expect(violation({ ...line, ...change }, SCHEMA, SCHEMA)).not.toBeNull();
  });
});

describe("attest --json", () => {
  it("is of the schema where evidence is verified, whole and bare", async () => {
    const whole = await attestedAt(join(directory, "bundle"), NOW_MS);
    expect(whole).toMatchObject({ result: "verified", mode: "live", error: null, claims: null });
    const bare = await file("document", epoch.parts.evidence);
    const line = await attestedAt(bare, NOW_MS);
    expect(line).toMatchObject({ result: "verified", platform: "simulated" });
    expect(JSON.stringify(line["checks"])).toContain('"status":"skip"');
  });

  it.each(["tampered", "untrusted", "stale", "expired", "truncated", "malformed"])(
    "is of the schema where evidence is %s",
    async (failure) => {
      const other = await makeEpoch(epoch.attester);
      const { keyset } = other.parts;
      const at = Buffer.from(epoch.bundle).indexOf(epoch.parts.keyset);
      const swapped = epoch.bundle.slice();
      swapped.set(keyset, at);
      const cases: Readonly<Record<string, readonly [Uint8Array, number]>> = {
        tampered: [swapped, NOW_MS],
        untrusted: [other.bundle, NOW_MS],
        stale: [epoch.bundle, NOW_MS + 2.5 * HOUR_MS],
        expired: [epoch.bundle, NOW_MS + 4 * HOUR_MS],
        truncated: [epoch.bundle.slice(0, -1), NOW_MS],
        malformed: [Uint8Array.of(1, 2, 3), NOW_MS],
      };
      const [bytes, atMs] = cases[failure] ?? [new Uint8Array(0), 0];
      const line = await attestedAt(await file(failure, bytes), atMs);
      expect(line).toMatchObject({ result: "rejected", failure, error: null });
    },
  );

  it("is of the schema where nothing could be judged", async () => {
    const none = join(directory, "none");
    expect(only(await attested(none))).toMatchObject({
      subject: none,
      result: "incomplete",
      failure: "unreachable",
      error: { message: `cannot read the evidence ${none}: there is no such file` },
    });
    const bad = await file("bad.json", "{}");
    expect(await attested(none, "b", "--policy", bad)).toMatchObject([
      { subject: none, result: "incomplete", failure: "malformed" },
      { subject: "b", result: "incomplete", failure: "malformed" },
    ]);
    expect(only(await attested(none, "--policy", none))["failure"]).toBe("unreachable");
  });

  it("is one line a subject, in their order", async () => {
    const bundle = join(directory, "bundle");
    const lines = await attested(bundle, "none", bundle, "--at", String(NOW_MS));
    expect(lines.map(({ result }) => result)).toEqual(["verified", "incomplete", "verified"]);
  });

  it.skipIf(missing("nitro"))("is of the schema for every genuine document", async () => {
    const names = listVectors("nitro").filter((name) => name.endsWith(".cbor"));
    const paths = names.map((name) => new URL(`../shared/vectors/nitro/${name}`, ROOT).pathname);
    for (const archive of [[], ["--archive"]]) {
      const lines = await attested(...paths, "--policy", AWS_POLICY, ...archive);
      expect(lines.map(({ subject }) => subject)).toEqual(paths);
      const results = new Set(lines.map(({ result }) => result));
      expect(results.has("verified")).toBe(archive.length > 0);
      expect(results.has("rejected")).toBe(true);
    }
  });
});

describe("verify --json", () => {
  it("is of the schema, without an opening, with one, and where it is shown", async () => {
    const unopened = await verified(await proofFile("unopened", false));
    expect(unopened).toMatchObject({ result: "verified", opening: null });
    const path = await proofFile("opened", true);
    expect(await verified(path)).toMatchObject({
      result: "verified",
      mode: "archive",
      claims: { index: 0, phase: "final", model: { id: "digits" }, outcome: { seed: null } },
      opening: null,
    });
    expect((await verified(path, "--opening"))["opening"]).toEqual({
      request: {
        method: "POST",
        path: "/v2",
        headers: [["x-mine", "1"]],
        encoding: "utf-8",
        content: "{}",
      },
      response: {
        status: 200,
        headers: [["content-type", "x/y"]],
        encoding: "base64",
        content: "/w==",
      },
    });
  });

  it("is of the schema where the receipt names no model, and all of an outcome", async () => {
    const refused = {
      requestLeaves: [],
      responseLeaves: [encodeResponsePreamble(400, [])],
      claims: {
        model: null,
        outcome: {
          status: 400,
          finishReason: "stop",
          promptTokens: 1,
          completionTokens: 2,
          seed: -3,
          parameters: new Uint8Array(32),
        },
        previous: new Uint8Array(32),
      },
    };
    const { receipt, kc, requestLeaves, responseLeaves } = await makeExchange(epoch, refused);
    const opening = { kc, request: requestLeaves, response: responseLeaves };
    const proof = encodeProof({ receipt, bundle: epoch.bundle, opening });
    expect(await verified(await file("refused", proof), "--opening")).toMatchObject({
      claims: { model: null, outcome: { finishReason: "stop", seed: -3 } },
      opening: { request: null, response: { status: 400 } },
    });
  });

  it("is of the schema where the proof is rejected, or cannot be read", async () => {
    const path = await proofFile("later", true);
    const bytes = new Uint8Array(readFileSync(path));
    bytes[bytes.length - 1] = 0;
    expect(await verified(await file("changed", bytes))).toMatchObject({
      result: "rejected",
      failure: "tampered",
      claims: null,
    });
    expect((await verified(await file("no-proof", epoch.bundle)))["failure"]).toBe("malformed");
    expect(await verified(join(directory, "none"))).toMatchObject({
      result: "incomplete",
      failure: "unreachable",
    });
  });

  it("is of the schema where the leaves are no HTTP, and then exits with 1", async () => {
    const { receipt, kc, requestLeaves, responseLeaves } = await makeExchange(epoch);
    const opening = { kc, request: requestLeaves, response: responseLeaves };
    const path = await file("odd", encodeProof({ receipt, bundle: epoch.bundle, opening }));
    const words = [path, "--opening", "--policy", policy];
    const ran = await runCommand(verifyCommand, [...words, "--json"]);
    expect(ran.exit).toBe(1);
    const line = only(linesOf(ran));
    expect(line).toMatchObject({ result: "verified", opening: null });
    expect(JSON.stringify(line["error"])).toContain("no HTTP messages");
    const shown = await runCommand(verifyCommand, words);
    expect([shown.exit, shown.notes.join(" ")]).toEqual([1, expect.stringContaining("no HTTP")]);
  });
});

it("is of the schema for every verdict of the corpus", async () => {
  const classes = new Set<unknown>();
  for (const vector of readCorpus()) {
    const { verdict } = await judge(library, vector);
    if (verdict === null) continue;
    // As it is printed and read again.
    const line: unknown = JSON.parse(jsonLine(verdictLine(vector.id, verdict, NO_EXTRAS)));
    expect(violation(line, SCHEMA, SCHEMA), vector.id).toBeNull();
    classes.add(verdict.failure);
  }
  expect(classes.size).toBeGreaterThan(3);
});

describe("the validator", () => {
  const broken: readonly (readonly [string, Schema])[] = [
    ["a keyword that it does not know", { properties: { never: { maxLength: 1 } } }],
    ["one below a list", { oneOf: [{ type: "null" }, { contains: {} }] }],
    ["a type that it does not know", { $defs: { unused: { type: "number" } } }],
    ["a reference to nothing", { properties: { never: { $ref: "#/$defs/none" } } }],
    ["a const that is no scalar", { const: [] }],
    ["another form of additionalProperties", { additionalProperties: { type: "null" } }],
  ];
  it.each(broken)("refuses %s, wherever it stands", (_, schema) => {
    expect(() => violation(1, schema, schema)).toThrow(/not known here|not defined|in the schema/u);
  });

  it("says where a value is wrong, and why", () => {
    const schema = { properties: { a: { items: { type: "integer" } } } };
    expect(violation({ a: [1, "b"] }, schema, schema)).toBe("/a/1: type");
    expect(violation({ a: [1, 2] }, schema, schema)).toBeNull();
  });
});

interface FoundObject {
  readonly pointer: string;
  readonly members: readonly string[];
}

/** Every object of a JSON value. */
function objectsIn(value: unknown, pointer = ""): readonly FoundObject[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, member]) =>
    objectsIn(member, `${pointer}/${key}`),
  );
  return Array.isArray(value) ? inner : [{ pointer, members: Object.keys(value) }, ...inner];
}

/** A copy with the object at `pointer` changed. */
function changed(value: unknown, pointer: string, change: (object: object) => void): unknown {
  const copy: unknown = structuredClone(value);
  let at: unknown = copy;
  for (const key of pointer.split("/").slice(1)) {
    at = typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined;
  }
  if (typeof at !== "object" || at === null) throw new TypeError(`nothing at ${pointer}`);
  change(at);
  return copy;
}
