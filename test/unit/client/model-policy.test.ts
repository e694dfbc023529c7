import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AWS_NITRO_ROOT_SHA256, encodeHex } from "@countersign/attestation";
import { encodeRelease, type Release } from "@countersign/image";
import { afterAll, describe, expect, it } from "vitest";
import { modelPolicyCommand } from "../../../client/cli/commands/model-policy.ts";
import { CommandError, UsageError } from "../../../client/cli/exit.ts";
import { composePolicy } from "../../../client/cli/policies.ts";
import { type Ran, runCommand } from "./command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-model-policy-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const [PCR0, PCR1, PCR2] = ["a0".repeat(48), "a1".repeat(48), "a2".repeat(48)];
const DIGEST = "d1".repeat(32);
const ROLES = [
  "--account",
  "111122223333",
  "--node-role",
  "arn:aws:iam::111122223333:role/node",
  "--owner-role",
  "arn:aws:iam::111122223333:role/owner",
];

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function release(name: string, pcr8: string | null = null): string {
  const written: Release = {
    version: 1,
    name,
    architecture: "x86_64",
    image: { bytes: 1, sha256: "0".repeat(64) },
    measurements: { pcr0: PCR0, pcr1: PCR1, pcr2: PCR2, pcr8 },
    source: null,
    options: { cmdline: "quiet", arguments: [] },
    inputs: [{ kind: "section", path: "kernel", mode: null, bytes: 1, sha256: "0".repeat(64) }],
  };
  return write(`${name}.json`, encodeRelease(written));
}

function clientPolicy(name: string, change: (entry: object) => object): string {
  const measurements = [{ name: "development", pcr0: PCR0, pcr1: PCR1, pcr2: PCR2 }];
  const plain = { roots: [encodeHex(AWS_NITRO_ROOT_SHA256)], measurements, debug: false };
  const entry = { ...plain, rootCertificates: [] };
  const model = { id: "digits", digest: Buffer.from(DIGEST, "hex") };
  const file = composePolicy("aws-nitro", entry, [model], Date.parse("2026-01-01T00:00:00Z"));
  const text = JSON.stringify({ ...file, platforms: { "aws-nitro": change(plain) } });
  return write(name, text);
}

async function failure(words: readonly string[]): Promise<CommandError> {
  const run = runCommand(modelPolicyCommand, words);
  const error: unknown = await run.then(
    (ran: Ran) => new TypeError(`it did not fail: ${ran.written}`),
    (thrown: unknown) => thrown,
  );
  if (error instanceof CommandError) return error;
  throw error;
}

describe("model policy", () => {
  it("prints the policy alone on standard output, and explains it on standard error", async () => {
    const words = ["--release", release("1.5.0"), ...ROLES, "--model", DIGEST];
    const { exit, lines, written, notes } = await runCommand(modelPolicyCommand, words);
    expect([exit, lines]).toEqual([0, []]);
    const policy: unknown = JSON.parse(written);
    expect(policy).toMatchObject({
      Version: "2012-10-17",
      Statement: expect.arrayContaining([
        expect.objectContaining({
          Sid: "EnclaveOpens1",
          Condition: {
            StringEqualsIgnoreCase: {
              "kms:RecipientAttestation:PCR0": PCR0,
              "kms:RecipientAttestation:PCR1": PCR1,
              "kms:RecipientAttestation:PCR2": PCR2,
            },
            StringEquals: { "kms:EncryptionContext:countersign-model-digest": [DIGEST] },
          },
        }),
      ]) as unknown,
    });
    expect(notes.map((line) => line.split(" ", 1)[0])).toEqual([
      "Administration",
      "OwnerSeals",
      "EnclaveOpens1",
      "NodeNothingUnattested",
      "NobodyDecryptsUnattested",
      "OnlyOwnerMovesKeys",
    ]);
    const quiet = await runCommand(modelPolicyCommand, [...words, "--quiet"]);
    expect([quiet.written, quiet.notes]).toEqual([written, []]);
    const json = await runCommand(modelPolicyCommand, [...words, "--json"]);
    expect(json.lines).toHaveLength(1);
    expect(JSON.parse(json.lines[0] ?? "")).toMatchObject({
      version: 1,
      policy,
      statements: expect.arrayContaining([
        expect.objectContaining({ sid: "OwnerSeals" }),
      ]) as unknown,
    });
  });

  it("takes several releases, and the signer of a signed one", async () => {
    const words = ["--release", release("1.5.0"), "--release", release("1.6.0", "a8".repeat(48))];
    const { written, notes } = await runCommand(modelPolicyCommand, [...words, ...ROLES]);
    expect(written.match(/"kms:RecipientAttestation:PCR1"/gu)).toHaveLength(2);
    expect(written.match(/"kms:RecipientAttestation:PCR8"/gu)).toHaveLength(1);
    expect(notes.join("\n")).toMatch(/"1\.5\.0"[^]*"1\.6\.0".*PCR8: signed/u);
  });

  it("takes the measurements of a client's policy, where it names the code", async () => {
    const path = clientPolicy("good.json", (entry) => entry);
    const { written } = await runCommand(modelPolicyCommand, ["--policy", path, ...ROLES]);
    expect(written).toContain(`"kms:RecipientAttestation:PCR2": "${PCR2}"`);
    const signed = clientPolicy("signed.json", (entry) => ({
      ...entry,
      measurements: [{ name: "x", pcr0: PCR0, pcr1: PCR1, pcr2: PCR2, pcr8: "a8".repeat(48) }],
    }));
    const ran = await runCommand(modelPolicyCommand, ["--policy", signed, ...ROLES]);
    expect(ran.written).toContain(`"kms:RecipientAttestation:PCR8": "${"a8".repeat(48)}"`);
    const other = clientPolicy("other.json", (entry) => ({
      ...entry,
      measurements: [{ name: "x", pcr0: PCR0, pcr1: PCR1, pcr2: PCR2, pcr16: "b6".repeat(48) }],
    }));
    const refused = await failure(["--policy", other, ...ROLES]);
    expect(refused.message).toContain('demands pcr16 of "x"');
    const any = clientPolicy("any.json", (entry) => ({ ...entry, measurements: "unchecked" }));
    expect((await failure(["--policy", any, ...ROLES])).message).toContain(
      "does not check the code",
    );
    const debug = clientPolicy("debug.json", (entry) => ({ ...entry, debug: true }));
    expect((await failure(["--policy", debug, ...ROLES])).message).toContain("debug enclaves");
  });

  it("says that a node of another account needs its own account's word, too", async () => {
    const far = ROLES.map((word) =>
      word.replace("111122223333:role/node", "444455556666:role/node"),
    );
    const words = ["--release", release("1.5.0")];
    expect((await runCommand(modelPolicyCommand, [...words, ...far])).notes.at(-1)).toContain(
      "of another account",
    );
    expect((await runCommand(modelPolicyCommand, [...words, ...ROLES])).notes.join()).not.toContain(
      "of another account",
    );
  });

  it("refuses what is no release, and what is missing", async () => {
    expect(await failure(ROLES)).toBeInstanceOf(UsageError);
    const both = ["--release", release("1.5.0"), "--policy", clientPolicy("p.json", (e) => e)];
    expect(await failure([...both, ...ROLES])).toBeInstanceOf(UsageError);
    expect(await failure(["--release", release("1.5.0")])).toBeInstanceOf(UsageError);
    const words = (path: string) => ["--release", path, ...ROLES];
    expect((await failure(words(write("a.json", "{}")))).message).toContain("version");
    expect((await failure(words(write("b.json", Uint8Array.of(0xff))))).message).toContain("UTF-8");
    expect((await failure(words(join(folder, "none.json")))).message).toContain("no such file");
    const large = write("large.json", new Uint8Array(16 * 1024 * 1024 + 1));
    expect((await failure(words(large))).message).toContain("it is no release file");
    const zero = write(
      "zero.json",
      readFileSync(release("1.5.0"), "utf8").replace(PCR0, "0".repeat(96)),
    );
    expect((await failure(words(zero))).message).toMatch(/^sealing\/key-policy: .*debug/u);
  });
});
