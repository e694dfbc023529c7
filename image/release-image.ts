/** The release of an image, read from the image itself: so it cannot name inputs that are not in it. */
import { encodeHex } from "@countersign/attestation/attester";
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { Section } from "./eif.ts";
import { ImageError } from "./errors.ts";
import { type MeasuredImage, measureImage, sectionChunks } from "./measure.ts";
import { archiveEntries, type Extent } from "./release-archive.ts";
import {
  KERNEL,
  MAX_INPUTS,
  type Release,
  type ReleaseInput,
  type ReleaseSource,
} from "./release.ts";
import { initText } from "./tree.ts";

/** The program of process 1: tree.ts writes it, with the enclave's arguments. */
const INIT = "1:/init";
const INIT_LIST = /^#!\/bin\/node\nprocess\.argv = (\[[^\n]*\]);\nimport/u;
const MAX_INIT_BYTES = 65_536;

/**
 * Measures the image in `file` and lists what it is made of.
 *
 * @param name - of its measurements, in policies.
 * @throws ImageError as {@link measureImage} does; `image/malformed` where another builder made it.
 */
export async function describeImage(
  file: string,
  name: string,
  source: ReleaseSource | null,
): Promise<Release> {
  const image = await measureImage(file);
  const { inputs, words } = await imageInputs(image);
  return {
    version: 1,
    name,
    architecture: image.architecture,
    image: { bytes: image.bytes, sha256: encodeHex(image.sha256) },
    measurements: {
      pcr0: encodeHex(image.pcr0),
      pcr1: encodeHex(image.pcr1),
      pcr2: encodeHex(image.pcr2),
      pcr8: image.pcr8 === null ? null : encodeHex(image.pcr8),
    },
    source,
    options: { cmdline: await commandLine(image), arguments: words },
    inputs,
  };
}

async function imageInputs(
  image: MeasuredImage,
): Promise<{ readonly inputs: readonly ReleaseInput[]; readonly words: readonly string[] }> {
  const inputs: ReleaseInput[] = [];
  let words: readonly string[] | null = null;
  let ramdisk = 0;
  const handle = await open(image.file, "r");
  try {
    for (const section of image.sections) {
      if (section.type === "kernel") inputs.push(await kernelInput(image, section));
      if (section.type !== "ramdisk") continue;
      ramdisk++;
      const archive = extent(handle, section);
      for await (const { input, offset } of archiveEntries(archive, ramdisk)) {
        if (inputs.push(input) > MAX_INPUTS) {
          throw new ImageError("image/malformed", `more than ${MAX_INPUTS} files and folders`);
        }
        if (input.path === INIT) words = parseInit(await readInit(archive, input, offset));
      }
    }
  } finally {
    await handle.close();
  }
  if (words === null) throw new ImageError("image/malformed", "its first ramdisk has no /init");
  return { inputs, words };
}

async function kernelInput(image: MeasuredImage, section: Section): Promise<ReleaseInput> {
  const hash = createHash("sha256");
  for await (const chunk of sectionChunks(image, section)) hash.update(chunk);
  const sha256 = hash.digest("hex");
  return { kind: "section", path: KERNEL, mode: null, bytes: section.bytes, sha256 };
}

async function commandLine(image: MeasuredImage): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const section of image.sections) {
    if (section.type !== "cmdline") continue;
    for await (const chunk of sectionChunks(image, section)) parts.push(chunk);
  }
  const text = Buffer.concat(parts).toString("latin1");
  if (/^[ -~]+$/u.test(text)) return text;
  throw new ImageError("image/malformed", "its command line is not one of printable characters");
}

async function readInit(archive: Extent, input: ReleaseInput, offset: number): Promise<string> {
  if (input.kind !== "file" || input.bytes > MAX_INIT_BYTES) {
    throw new ImageError("image/malformed", `its /init is a ${input.kind} of ${input.bytes} bytes`);
  }
  return Buffer.from(await archive.read(offset, input.bytes)).toString("utf8");
}

/** The enclave's arguments. @throws ImageError `image/malformed` unless tree.ts wrote `text`. */
function parseInit(text: string): readonly string[] {
  const [, list] = INIT_LIST.exec(text) ?? [];
  const words: unknown = list === undefined ? null : parseJson(list);
  if (Array.isArray(words)) {
    const texts = words.filter((word: unknown): word is string => typeof word === "string");
    const [, module = "", ...own] = texts;
    if (initText(module, own) === text) return own;
  }
  throw new ImageError("image/malformed", "its /init is not the one of this builder");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function extent(handle: FileHandle, { offset: start, bytes }: Section): Extent {
  return {
    bytes,
    async read(offset, length) {
      const buffer = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const at = start + offset + done;
        const { bytesRead } = await handle.read(buffer, done, length - done, at);
        if (bytesRead === 0) throw new ImageError("image/input", "the image became shorter");
        done += bytesRead;
      }
      return buffer;
    },
  };
}
