/** Whether a file is a kernel that the hypervisor starts: of the right form for the architecture. */
import type { Architecture } from "./elf.ts";
import { type Content, contentChunks } from "./entry.ts";
import { ImageError } from "./errors.ts";

interface KernelForm {
  readonly name: string;
  readonly offset: number;
  readonly magic: Buffer;
}

/** Linux Documentation/arch/x86/boot.rst ("HdrS"), and arch/arm64/booting.rst (the magic number). */
const FORMS: Readonly<Record<Architecture, KernelForm>> = {
  x86_64: { name: "bzImage", offset: 0x202, magic: Buffer.from("HdrS") },
  arm64: { name: "uncompressed Image", offset: 56, magic: Buffer.from("ARM\x64") },
};

/** @throws ImageError `image/input` for another file, such as a compressed or an EFI image. */
export async function requireKernel(
  file: string,
  content: Content,
  architecture: Architecture,
): Promise<void> {
  const { name, offset, magic } = FORMS[architecture];
  for await (const start of contentChunks(content)) {
    if (magic.equals(start.subarray(offset, offset + magic.length))) return;
    break;
  }
  throw new ImageError("image/input", `${file} is no ${name}, the kernel of ${architecture}`);
}
