/**
 * Builds an enclave image: kernel, command line, two ramdisks, and a signature where there is a key.
 *
 * The same inputs give the same bytes, on every machine and in every folder; only a signature differs,
 * because ECDSA takes a random number. The header is written last: a build that breaks off
 * leaves a file that no reader takes.
 */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { cpioBytes, cpioChunks } from "./cpio.ts";
import type { Architecture } from "./elf.ts";
import {
  encodeHeader,
  encodeSectionHeader,
  HEADER_BYTES,
  type SectionSize,
  type SectionType,
} from "./eif.ts";
import {
  type Content,
  contentBytes,
  contentChunks,
  contentDigest,
  diskContent,
  type Entry,
} from "./entry.ts";
import { ImageError } from "./errors.ts";
import { requireKernel } from "./kernel.ts";
import { computedChecksum, type MeasuredImage, measureImage } from "./measure.ts";
import { encodeMetadata } from "./metadata.ts";
import { RegisterHasher } from "./registers.ts";
import { encodeSignature, type SigningKey } from "./signature.ts";
import { enclaveTree, type TreeOptions } from "./tree.ts";

export interface BuildOptions extends TreeOptions {
  /** A bzImage (x86_64), or an Image (arm64). */
  readonly kernel: string;
  /** Linux's command line. */
  readonly cmdline: string;
  /** Null: the image is not signed. */
  readonly signingKey: SigningKey | null;
  /** The image; an older one is replaced when the new one is whole. */
  readonly out: string;
}

/** An image that was built, and what an enclave that runs it attests. */
export type BuiltImage = MeasuredImage;

/** Printable ASCII: Linux reads it up to a zero byte, and takes quotes for its own. */
const CMDLINE = /^[ -~]{1,2047}$/u;
/**
 * Words with which Linux would start something else as process 1, or give it arguments or an environment
 * that Node and its libraries obey. They would be measured, and no file of the image would show them.
 */
const REDIRECTING = /^(?:--$|(?:rd)?init=|(?:GLIBC|LD|MALLOC|NODE|OPENSSL|SSL|UV)_)/u;

/**
 * Linux's command lines. A panic ends the machine at once, and so does the end of process 1, which is
 * how an enclave ends; the parent's devices are on no PCI bus.
 */
export const DEFAULT_CMDLINES: Readonly<Record<Architecture, string>> = {
  x86_64:
    "reboot=k panic=-1 pci=off console=ttyS0 random.trust_cpu=on i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd",
  arm64: "reboot=k panic=-1 pci=off console=ttyS0 random.trust_cpu=on",
};

/**
 * Builds the image and measures what was written.
 *
 * @throws ImageError `image/input`, and what {@link enclaveTree} throws.
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  if (!CMDLINE.test(options.cmdline)) {
    throw new ImageError("image/input", "the command line is not 1 to 2047 printable characters");
  }
  const redirecting = options.cmdline.split(" ").find((word) => REDIRECTING.test(word));
  if (redirecting !== undefined || options.cmdline.includes('"')) {
    const found = redirecting ?? "a quotation mark";
    throw new ImageError(
      "image/input",
      `the command line has ${found}, which could start something else`,
    );
  }
  const kernel = await diskContent(options.kernel);
  await requireKernel(options.kernel, kernel, options.architecture);
  const tree = await enclaveTree(options);
  const unfinished = `${options.out}.unfinished`;
  try {
    await written(unfinished, options, kernel, [tree.platform, tree.application]);
    const measured = await measureImage(unfinished);
    await rename(unfinished, options.out);
    return { ...measured, file: options.out };
  } catch (cause) {
    await rm(unfinished, { force: true });
    if (cause instanceof ImageError || cause instanceof TypeError) throw cause;
    // A disk that is full, a folder that is not there or not ours.
    throw new ImageError("image/input", `${options.out} cannot be written`, { cause });
  }
}

/** Writes the sections in their order, and the header when all are there. */
async function written(
  file: string,
  options: BuildOptions,
  kernel: Content,
  layers: readonly (readonly Entry[])[],
): Promise<void> {
  await rm(file, { force: true });
  // Made, never opened: a link that somebody left there leads nowhere.
  const handle = await open(file, "wx+");
  try {
    const writer = new SectionWriter(handle);
    // 1. The kernel and its command line.
    await writer.section("kernel", contentBytes(kernel), contentChunks(kernel));
    const cmdline = encodeUtf8(options.cmdline);
    await writer.section("cmdline", cmdline.length, [cmdline]);
    // 2. What describes the image to tools, and is not measured.
    const metadata = encodeMetadata(await contentDigest(kernel));
    await writer.section("metadata", metadata.length, [metadata]);
    // 3. The ramdisks: the first is the platform, in PCR1; the second the application, in PCR2.
    for (const layer of layers) {
      await writer.section("ramdisk", cpioBytes(layer), cpioChunks(layer));
    }
    // 4. The signature over PCR0, which is complete now.
    if (options.signingKey !== null) {
      const signature = encodeSignature(options.signingKey, writer.registers().pcr0);
      await writer.section("signature", signature.length, [signature]);
    }
    // 5. The header, with the checksum of what is in the file.
    const { architecture } = options;
    const unsealed = encodeHeader(architecture, writer.sections, 0);
    const checksum = await computedChecksum(handle, unsealed);
    await writeAll(handle, encodeHeader(architecture, writer.sections, checksum), 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class SectionWriter {
  readonly sections: SectionSize[] = [];
  readonly #handle: FileHandle;
  readonly #hasher = new RegisterHasher();
  #offset = HEADER_BYTES;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  registers(): ReturnType<RegisterHasher["registers"]> {
    return this.#hasher.registers();
  }

  async section(
    type: SectionType,
    bytes: number,
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<void> {
    const size = { type, bytes };
    this.sections.push(size);
    await this.#append(encodeSectionHeader(size));
    this.#hasher.begin(type);
    const start = this.#offset;
    for await (const chunk of chunks) {
      this.#hasher.update(type, chunk);
      await this.#append(chunk);
    }
    if (this.#offset - start !== bytes) {
      throw new TypeError(`${type} of ${this.#offset - start} bytes, announced as ${bytes}`);
    }
  }

  async #append(chunk: Uint8Array): Promise<void> {
    await writeAll(this.#handle, chunk, this.#offset);
    this.#offset += chunk.length;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
