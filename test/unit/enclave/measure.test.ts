import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEY_SERVICES_FILE, readKeyServices } from "../../../enclave/keys/services.ts";
import {
  CODE_ROOT,
  codeFiles,
  measureCode,
  type Runtime,
} from "../../../enclave/simulation/measure.ts";
import type { ImageMeasurement } from "../../../enclave/simulation/nsm.ts";

const RUNTIME: Runtime = { version: "v24.0.0", architecture: "x64", platform: "linux" };
const KEY_SERVICES = readKeyServices(KEY_SERVICES_FILE);
let root = "";
let before: ImageMeasurement;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "measure-"));
  for (const path of await codeFiles(CODE_ROOT)) await cp(CODE_ROOT + path, join(root, path));
  before = await measureCode(root, RUNTIME, KEY_SERVICES);
});
afterAll(() => rm(root, { recursive: true }));

/** Which registers differ after `change`, which is then undone. */
async function changed(path: string, change: (text: string) => string): Promise<string> {
  const file = join(root, path);
  const text = await readFile(file, "utf8").catch(() => null);
  await writeFile(file, change(text ?? ""));
  const after = await measureCode(root, RUNTIME, KEY_SERVICES);
  if (text === null) await rm(file);
  else await writeFile(file, text);
  return differing(after);
}

function differing(after: ImageMeasurement): string {
  return (["pcr0", "pcr1", "pcr2"] as const)
    .filter((name) => Buffer.compare(before[name], after[name]) !== 0)
    .join(" ");
}

describe("the measurement", () => {
  it("covers the code that runs, in a fixed order, and nothing that is built or installed", async () => {
    const files = await codeFiles(CODE_ROOT);
    expect(files).toEqual(files.toSorted());
    expect(files).toContain("enclave/simulated.ts");
    expect(files).toContain("enclave/simulation/measure.ts");
    expect(files).toContain("attestation/cbor.ts");
    expect(files).toContain("protocol/native/index.ts");
    expect(files).toContain("package-lock.json");
    expect(files.filter((path) => /node_modules|tsconfig|\.md$/u.test(path))).toEqual([]);
  });

  it("is the same for the same files elsewhere", async () => {
    expect(differing(await measureCode(CODE_ROOT, RUNTIME, KEY_SERVICES))).toBe("");
    expect(before.pcr0.length).toBe(48);
  });

  it.each([
    ["enclave/gateway.ts", "pcr0 pcr2"],
    ["enclave/package.json", "pcr0 pcr2"],
    ["attestation/cbor.ts", "pcr0"],
    ["protocol/native/index.ts", "pcr0"],
    ["package-lock.json", "pcr0 pcr1"],
    ["enclave/another.ts", "pcr0 pcr2"],
  ])("changes with one byte of %s", async (path, registers) => {
    expect(await changed(path, (text) => `${text} `)).toBe(registers);
  });

  it("changes with the key services, of which only those it is given count", async () => {
    const others = new Uint8Array([...KEY_SERVICES, 0x20]);
    expect(differing(await measureCode(root, RUNTIME, others))).toBe("pcr0 pcr2");
    expect(await changed("enclave/key-services.json", () => "{}")).toBe("");
  });

  it("does not change with what no one runs", async () => {
    expect(await changed("enclave/TCB.txt", (text) => `${text} `)).toBe("");
    expect(await changed("enclave/.hidden.ts", () => "1")).toBe("");
  });

  it("changes with the runtime", async () => {
    for (const change of [{ version: "v24.0.1" }, { architecture: "arm64" }, { platform: "mac" }]) {
      expect(differing(await measureCode(root, { ...RUNTIME, ...change }, KEY_SERVICES))).toBe(
        "pcr1",
      );
    }
  });

  it("refuses links, and a root without code", async () => {
    const link = join(root, "enclave", "link.ts");
    await symlink(join(root, "enclave", "boot.ts"), link);
    await expect(measureCode(root, RUNTIME, KEY_SERVICES)).rejects.toThrow("simulation/measure");
    await rm(link);
    await expect(measureCode(join(root, "protocol"), RUNTIME, KEY_SERVICES)).rejects.toThrow(
      "simulation/measure",
    );
  });
});
