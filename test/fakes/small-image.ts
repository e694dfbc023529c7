/** A small enclave image in the form that the image builder writes, for what reads images. */
import { writeFileSync } from "node:fs";
import { encodeUtf8 } from "@countersign/attestation";
import { cpioChunks } from "../../image/cpio.ts";
import { encodeImage, type SectionType } from "../../image/eif.ts";
import type { Entry } from "../../image/entry.ts";

export const SMALL_CMDLINE = "console=ttyS0 panic=-1";

const INIT = `#!/bin/node
process.argv = ["/bin/node","/app/enclave/init.ts","--parent-cid","2"];
import("/app/enclave/init.ts");
`;

/** A file of an image. */
export function fileOf(path: string, text: string, executable = false): Entry {
  const content = { from: "memory", bytes: encodeUtf8(text) } as const;
  return { kind: "file", path, executable, content };
}

export const PLATFORM: readonly Entry[] = [
  { kind: "device", path: "dev/null", major: 1, minor: 3 },
  { kind: "link", path: "lib64", target: "lib" },
  fileOf("bin/node", "a runtime", true),
  fileOf("init", INIT, true),
  fileOf("lib/modules/01-nsm.ko", "a module"),
];

export const APPLICATION: readonly Entry[] = [
  fileOf("app/enclave/init.ts", "start();\n"),
  fileOf("app/enclave/main.ts", "serve();\n"),
];

/** An archive as bytes. */
export async function archiveOf(entries: readonly Entry[]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of cpioChunks(entries)) parts.push(chunk);
  return new Uint8Array(Buffer.concat(parts));
}

/** Writes an image of these parts to `file`. */
export async function writeSmallImage(
  file: string,
  parts: {
    readonly kernel?: string;
    readonly cmdline?: string;
    readonly platform?: readonly Entry[];
    readonly application?: readonly Entry[];
    readonly metadata?: string;
  } = {},
): Promise<void> {
  const sections: readonly (readonly [SectionType, Uint8Array])[] = [
    ["kernel", encodeUtf8(parts.kernel ?? "a kernel")],
    ["cmdline", encodeUtf8(parts.cmdline ?? SMALL_CMDLINE)],
    ["metadata", encodeUtf8(parts.metadata ?? "{}")],
    ["ramdisk", await archiveOf(parts.platform ?? PLATFORM)],
    ["ramdisk", await archiveOf(parts.application ?? APPLICATION)],
  ];
  writeFileSync(file, encodeImage("x86_64", sections));
}
