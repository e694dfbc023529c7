import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeHex } from "@countersign/attestation";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Entry } from "../../../image/entry.ts";
import { measureImage } from "../../../image/measure.ts";
import { describeImage } from "../../../image/release-image.ts";
import { fileOf, PLATFORM, SMALL_CMDLINE, writeSmallImage } from "../../fakes/small-image.ts";

const SOURCE = { commit: "ab".repeat(20), clean: true };

let folder = "";
let image = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-release-"));
  image = join(folder, "image.eif");
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

describe("the release of an image", () => {
  it("has its measurements, and the digest of the file", async () => {
    await writeSmallImage(image);
    const measured = await measureImage(image);
    const release = await describeImage(image, "1.0.0", SOURCE);
    expect(release).toMatchObject({
      version: 1,
      name: "1.0.0",
      architecture: "x86_64",
      image: { bytes: measured.bytes, sha256: encodeHex(measured.sha256) },
      measurements: {
        pcr0: encodeHex(measured.pcr0),
        pcr1: encodeHex(measured.pcr1),
        pcr2: encodeHex(measured.pcr2),
        pcr8: null,
      },
      source: SOURCE,
    });
  });

  it("has what the builder was told, read back from the image", async () => {
    await writeSmallImage(image);
    const { options } = await describeImage(image, "1.0.0", null);
    expect(options).toEqual({ cmdline: SMALL_CMDLINE, arguments: ["--parent-cid", "2"] });
  });

  it("names every input, in the image's order", async () => {
    await writeSmallImage(image);
    const { inputs } = await describeImage(image, "1.0.0", null);
    expect(inputs.map(({ kind, path, mode }) => `${kind} ${path} ${mode}`)).toEqual([
      "section kernel null",
      "directory 1:/bin 0755",
      "file 1:/bin/node 0755",
      "directory 1:/dev 0755",
      "device 1:/dev/null 0600",
      "file 1:/init 0755",
      "directory 1:/lib 0755",
      "directory 1:/lib/modules 0755",
      "file 1:/lib/modules/01-nsm.ko 0644",
      "link 1:/lib64 0777",
      "directory 2:/app 0755",
      "directory 2:/app/enclave 0755",
      "file 2:/app/enclave/init.ts 0644",
      "file 2:/app/enclave/main.ts 0644",
    ]);
  });

  it("has of each the digest of what it is", async () => {
    await writeSmallImage(image);
    const { inputs } = await describeImage(image, "1.0.0", null);
    const digests = new Map(inputs.map((input) => [input.path, input.sha256]));
    expect(digests.get("kernel")).toBe(sha256("a kernel"));
    expect(digests.get("1:/bin/node")).toBe(sha256("a runtime"));
    expect(digests.get("1:/lib64")).toBe(sha256("lib"));
    expect(digests.get("1:/dev/null")).toBe(sha256("1:3"));
    expect(digests.get("2:/app/enclave/main.ts")).toBe(sha256("serve();\n"));
  });

  it("reads files of several pieces", async () => {
    const long = "0123456789abcdef".repeat(200_000);
    await writeSmallImage(image, { application: [fileOf("app/enclave/long.ts", long)] });
    const { inputs } = await describeImage(image, "1.0.0", null);
    const found = inputs.find(({ path }) => path === "2:/app/enclave/long.ts");
    expect(found).toMatchObject({ bytes: long.length, sha256: sha256(long) });
  });
});

describe("an image that another builder made", () => {
  const WRONG = [
    ["has no /init", PLATFORM.filter(({ path }) => path !== "init"), /no \/init/u],
    ["runs another program", withInit("#!/bin/sh\nexec node\n"), /\/init is not the one/u],
    [
      "runs what its arguments do not say",
      withInit(`#!/bin/node\nprocess.argv = ["/bin/node", "a.ts"];\nimport("/app/a.ts");\n`),
      /\/init is not the one/u,
    ],
    [
      "does more than start",
      withInit(
        `#!/bin/node\nprocess.argv = ["/bin/node","/app/a.ts"];\nimport("/app/a.ts");\nimport("/app/b.ts");\n`,
      ),
      /\/init is not the one/u,
    ],
    [
      "starts another module than it says",
      withInit(`#!/bin/node\nprocess.argv = ["/bin/node","/app/a.ts"];\nimport("/app/b.ts");\n`),
      /\/init is not the one/u,
    ],
    [
      "hides a second one behind the first",
      withInit(
        `#!/bin/node\nprocess.argv = ["/bin/node","/app/a.ts"];\nimport("/app/a.ts"); x("");\n`,
      ),
      /\/init is not the one/u,
    ],
  ] as const;

  it.each(WRONG)("is not released where it %s", async (_what, platform, message) => {
    await writeSmallImage(image, { platform });
    const refusal = describeImage(image, "1.0.0", null);
    await expect(refusal).rejects.toMatchObject({ code: "image/malformed" });
    await expect(refusal).rejects.toThrow(message);
  });
});

describe("an image of more files than a release lists", () => {
  it("is not released: nobody could read what it says", async () => {
    const application = Array.from({ length: 20_000 - 1 }, (_, i) => fileOf(`a/${i}`, ""));
    await writeSmallImage(image, { application });
    const refusal = describeImage(image, "1.0.0", null);
    await expect(refusal).rejects.toMatchObject({ code: "image/malformed" });
  });
});

function withInit(text: string): readonly Entry[] {
  return [...PLATFORM.filter(({ path }) => path !== "init"), fileOf("init", text, true)];
}
