import { chmod, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKeyFile, fileProvider, keyFileId, readKeyFile } from "@countersign/sealing";
import { parseEnvelope } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { hex, vectors } from "../protocol/support.ts";
import { codeOf, newFolder } from "./sealing-files.ts";

interface KnownAnswer {
  readonly dataKey: string;
  readonly keyFile: string;
  readonly keyId: string;
  readonly modelDigest: string;
  readonly envelope: string;
}

const known = vectors<KnownAnswer>("seal/known-answer.json");
const DIGEST = hex(known.modelDigest);

async function keyFile(content: string, mode = 0o600): Promise<string> {
  const path = join(await newFolder(), "owner.key");
  await writeFile(path, content, { mode });
  await chmod(path, mode);
  return path;
}

describe("a key file", () => {
  it("is made for its owner alone, once, and another one each time", async () => {
    const folder = await newFolder();
    const [first, second] = [join(folder, "1"), join(folder, "2")];
    const id = await createKeyFile(first);
    expect(await createKeyFile(second)).not.toBe(id);
    expect((await stat(first)).mode & 0o777).toBe(0o600);
    const text = await readFile(first, "utf8");
    expect(text).toMatch(/^countersign-key-v1:[\w-]{43}\n$/u);
    expect(keyFileId(await readKeyFile(first))).toBe(id);
    expect(await codeOf(async () => await createKeyFile(first))).toBe("sealing/output");
    expect(await readFile(first, "utf8")).toBe(text);
    await symlink("nowhere", join(folder, "link"));
    expect(await codeOf(async () => await createKeyFile(join(folder, "link")))).toBe(
      "sealing/output",
    );
  });

  it("is read as another program wrote it", async () => {
    for (const end of ["", "\n"]) {
      const key = await readKeyFile(await keyFile(`${known.keyFile}${end}`));
      expect(keyFileId(key)).toBe(known.keyId);
      const dataKey = await fileProvider(key).unwrap(parseEnvelope(hex(known.envelope)), DIGEST);
      expect(dataKey).toEqual(hex(known.dataKey));
    }
  });

  it.each([
    ["nothing", ""],
    ["no prefix", known.keyFile.slice("countersign-key-v1:".length)],
    ["another version", known.keyFile.replace("v1", "v2")],
    ["a shorter key", known.keyFile.slice(0, -1)],
    ["a longer key", `${known.keyFile}A`],
    ["bits that no key has", `${known.keyFile.slice(0, -1)}B`],
    ["padding", `${known.keyFile}=`],
    ["the other alphabet", known.keyFile.replace(":__", "://")],
    ["two lines", `${known.keyFile}\n${known.keyFile}\n`],
    ["a space before", ` ${known.keyFile}`],
    ["another end of line", `${known.keyFile}\r\n`],
    ["too much of anything", "x".repeat(1000)],
  ])("with %s is refused, and not repeated in the refusal", async (_, content) => {
    const path = await keyFile(content);
    const refusal = await readKeyFile(path).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ name: "SealingError", code: "sealing/key-file" });
    expect(String(refusal)).not.toContain(known.keyFile.slice(25, 40));
  });

  it.each([0o640, 0o604, 0o660, 0o601])("that others may use (%o) is refused", async (mode) => {
    const path = await keyFile(known.keyFile, mode);
    expect(await codeOf(async () => await readKeyFile(path))).toBe("sealing/key-file");
  });

  it("is a file", async () => {
    const folder = await newFolder();
    for (const path of [folder, join(folder, "missing"), "/dev/zero"]) {
      expect(await codeOf(async () => await readKeyFile(path))).toBe("sealing/key-file");
    }
  });
});

describe("a data key wrapped under a key file", () => {
  const key = new Uint8Array(32).fill(3);
  const provider = fileProvider(key);

  it("is a fresh one each time, and opens for its model", async () => {
    const one = await provider.generate(DIGEST);
    const two = await provider.generate(DIGEST);
    expect(one.key).not.toEqual(two.key);
    expect(one.envelope.wrapped.length).toBe(60);
    expect(one.envelope.key).toBe(keyFileId(key));
    expect(await provider.unwrap(one.envelope, DIGEST)).toEqual(one.key);
    const again = await provider.wrap(one.key, DIGEST);
    expect(again.wrapped).not.toEqual(one.envelope.wrapped);
    expect(await provider.unwrap(again, DIGEST)).toEqual(one.key);
  });

  it("opens for no other model, under no other key, and not changed anywhere", async () => {
    const { envelope } = await provider.generate(DIGEST);
    const unwrap = async (wrapped: Uint8Array, digest = DIGEST): Promise<string> =>
      await codeOf(async () => await provider.unwrap({ ...envelope, wrapped }, digest));
    expect(await unwrap(envelope.wrapped, new Uint8Array(32))).toBe("sealing/key");
    for (let at = 0; at < envelope.wrapped.length; at++) {
      const wrapped = Uint8Array.from(envelope.wrapped);
      wrapped[at] = (wrapped[at] ?? 0) ^ 0x80;
      expect(await unwrap(wrapped)).toBe("sealing/key");
    }
    for (const length of [0, 28, 59]) {
      expect(await unwrap(envelope.wrapped.subarray(0, length))).toBe("sealing/key");
    }
    expect(await unwrap(Buffer.concat([envelope.wrapped, Buffer.of(0)]))).toBe("sealing/key");
    const other = fileProvider(new Uint8Array(32));
    const kms = { ...envelope, kind: "aws-kms" as const };
    expect(await codeOf(async () => await other.unwrap(envelope, DIGEST))).toBe("sealing/key");
    expect(await codeOf(async () => await provider.unwrap(kms, DIGEST))).toBe("sealing/key");
  });
});
