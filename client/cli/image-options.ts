/** What the commands that build an image, or its file tree, have in common. */
import {
  type Architecture,
  DEFAULT_CMDLINES,
  ENCLAVE_ENTRIES,
  ImageError,
  parseSigningKey,
  type SigningKey,
  type TreeOptions,
} from "@countersign/image";

import type { Arguments, OptionSpec } from "./arguments.ts";
import { CommandError, EXIT, UsageError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import { keyServicesFile } from "./key-services.ts";
import { REPOSITORY, userPath } from "./paths.ts";

/** AWS Nitro Enclaves: an enclave's parent. */
const PARENT_CID = 3;
/** The highest ids are `VMADDR_CID_ANY` and `VMADDR_PORT_ANY`, vsock(7). */
const MAX_VSOCK_ID = 0xffff_fffe;
/** npm's names of architectures are taken, too. */
const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([
  ["x86_64", "x86_64"],
  ["x64", "x86_64"],
  ["arm64", "arm64"],
  ["aarch64", "arm64"],
]);

/** Options of what is in the image, but for the kernel and its modules. */
export const TREE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "libraries",
    value: "DIR",
    description: "a folder with shared libraries, or the root of a system (default /); repeatable",
    repeatable: true,
  },
  { name: "arch", value: "NAME", description: "x86_64 or arm64 (default this machine's)" },
  {
    name: "parent-cid",
    value: "N",
    description: `the parent's vsock context id (default ${PARENT_CID}, AWS's)`,
  },
  { name: "parent-port", value: "N", description: "where the parent serves it (default 7000)" },
  { name: "listen-port", value: "N", description: "where the enclave is asked (default 5000)" },
  {
    name: "heartbeat",
    value: null,
    description: "say on vsock port 9000 that the enclave has booted; AWS's tools wait for it",
  },
  {
    name: "key-services",
    value: "FILE",
    description: "which key services open sealed models, in place of enclave/key-services.json",
  },
];

/** Options of the kernel, and of who signs. */
export const BUILD_OPTIONS: readonly OptionSpec[] = [
  { name: "kernel", value: "FILE", description: "Linux: a bzImage (x86_64), an Image (arm64)" },
  {
    name: "module",
    value: "FILE",
    description: "a kernel module, not compressed; repeatable, in the order of loading",
    repeatable: true,
  },
  { name: "cmdline", value: "TEXT", description: "Linux's command line, in place of ours" },
  ...TREE_OPTIONS,
  { name: "sign-key", value: "FILE", description: "sign the image with this P-384 key, PEM" },
  { name: "sign-cert", value: "FILE", description: "and this certificate of the key, PEM" },
];

/** @throws UsageError, CommandError */
export async function treeOptions(args: Arguments): Promise<TreeOptions> {
  const libraries = args.texts("libraries").map(userPath);
  const parent = vsockId(args, "parent-cid", 0) ?? PARENT_CID;
  const ports = ["parent-port", "listen-port"].flatMap((name) => {
    const port = vsockId(args, name, 1);
    return port === null ? [] : [`--${name}`, String(port)];
  });
  const heartbeat = args.flag("heartbeat") ? ["--heartbeat"] : [];
  return {
    root: REPOSITORY,
    architecture: architecture(args.text("arch") ?? process.arch),
    modules: args.texts("module").map(userPath),
    libraries: libraries.length === 0 ? ["/"] : libraries,
    entries: ENCLAVE_ENTRIES,
    arguments: [...heartbeat, "--parent-cid", String(parent), ...ports],
    keyServices: await keyServicesFile(args),
  };
}

/** @throws UsageError */
function vsockId(args: Arguments, name: string, least: number): number | null {
  const id = args.number(name, least);
  if (id === null || id <= MAX_VSOCK_ID) return id;
  throw new UsageError(`--${name} is ${id}, want at most ${MAX_VSOCK_ID}`);
}

/** Linux's command line, given or ours. */
export function commandLine(args: Arguments, of: Architecture): string {
  return args.text("cmdline") ?? DEFAULT_CMDLINES[of];
}

/** The key that signs; null where none is given. @throws UsageError, CommandError, ImageError */
export async function signingKey(args: Arguments, nowMs: number): Promise<SigningKey | null> {
  const [key, certificate] = [args.text("sign-key"), args.text("sign-cert")];
  if (key === null && certificate === null) return null;
  if (key === null || certificate === null) {
    throw new UsageError("--sign-key and --sign-cert are given together");
  }
  const keyPem = await readText(key, "the signing key");
  return parseSigningKey(keyPem, await readText(certificate, "the certificate"), nowMs);
}

/** The value of an option that a command cannot do without. @throws UsageError */
export function requiredText(args: Arguments, name: string): string {
  const value = args.text(name);
  if (value === null) throw new UsageError(`--${name} is missing`);
  return value;
}

/** An image's error as the command line reports it; what an image is refused for is a rejection. */
export function imageFailure(error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  const { code } = error;
  switch (code) {
    case "image/malformed":
    case "image/checksum":
    case "image/signature":
    case "image/differs":
      return new CommandError(error.message, null, EXIT.rejected);
    case "image/input":
      return new CommandError(error.message);
    default:
      return code satisfies never;
  }
}

function architecture(name: string): Architecture {
  const found = ARCHITECTURES.get(name);
  if (found === undefined) throw new UsageError(`--arch is "${name}", want x86_64 or arm64`);
  return found;
}

async function readText(path: string, what: string): Promise<string> {
  return Buffer.from(await readUserFile(userPath(path), what)).toString("latin1");
}
