/**
 * The simulated PCR0 to PCR2, from the code's own files: a changed file changes the measurement.
 *
 * Packages are measured by package-lock.json, which pins each by hash; that what is installed equals
 * it is the word of the package manager. A real image measures every byte.
 */
import { concatBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { encodeManifest, type ManifestEntry } from "@countersign/protocol";
import { hash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { EnclaveError } from "../errors.ts";
import { PCR_BYTES } from "../nsm/codec.ts";
import type { ImageMeasurement } from "./nsm.ts";

/** Where the repository, or an installed copy of it, begins. */
export const CODE_ROOT: string = fileURLToPath(new URL("../../", import.meta.url));
/** The folders the enclave's code is in. */
const FOLDERS = ["attestation", "enclave", "protocol", "vsock"];
const LOCKFILE = "package-lock.json";
/** An image's builder may put another in its place (keys/services.ts). */
const KEY_SERVICES = "enclave/key-services.json";
/** Files that Node reads when it runs the code. */
const CODE = /\.(?:ts|json)$/u;
/** Of the type checker and the package manager, not read when the code runs. */
const LEFT_OUT: ReadonlySet<string> = new Set(["tsconfig.json", "node_modules"]);

/** What the code runs on. */
export interface Runtime {
  readonly version: string;
  readonly architecture: string;
  readonly platform: string;
}

/**
 * Every file that is measured, relative to `root`, sorted; `enclave/TCB.txt` lists the same.
 *
 * @throws EnclaveError `simulation/measure` on a symbolic link or another special file.
 */
export async function codeFiles(root: string): Promise<readonly string[]> {
  const files = [LOCKFILE];
  for (const folder of FOLDERS) await walk(root, folder, files);
  return files.toSorted();
}

/**
 * PCR0 over all files, PCR1 over the runtime and the lockfile, PCR2 over the enclave's own files.
 *
 * @param keyServices - what stands for enclave/key-services.json, whatever is there.
 * @throws EnclaveError `simulation/measure` where the files cannot be read.
 */
export async function measureCode(
  root: string,
  runtime: Runtime,
  keyServices: Uint8Array,
): Promise<ImageMeasurement> {
  const all: ManifestEntry[] = [];
  // Whether or not one lies there: what is used is measured.
  for (const path of new Set([...(await codeFiles(root)), KEY_SERVICES])) {
    all.push(entry(path, path === KEY_SERVICES ? keyServices : await contents(root, path)));
  }
  const lock = all.filter(({ path }) => path === LOCKFILE);
  const own = all.filter(({ path }) => path.startsWith("enclave/"));
  const { version, architecture, platform } = runtime;
  const running = encodeUtf8(JSON.stringify([version, architecture, platform]));
  return {
    pcr0: register(encodeManifest(all)),
    pcr1: register(concatBytes(encodeManifest(lock), running)),
    pcr2: register(encodeManifest(own)),
  };
}

/** The runtime this process is. */
export function thisRuntime(): Runtime {
  return { version: process.version, architecture: process.arch, platform: process.platform };
}

/** As the device measures an image: SHA-384(48 zero bytes ‖ SHA-384(bytes)). */
function register(bytes: Uint8Array): Uint8Array {
  const digest = hash("sha384", bytes, "buffer");
  const extended = concatBytes(new Uint8Array(PCR_BYTES), digest);
  return new Uint8Array(hash("sha384", extended, "buffer"));
}

async function walk(root: string, folder: string, files: string[]): Promise<void> {
  const entries = await readdir(`${root}/${folder}`, { withFileTypes: true }).catch(unreadable);
  for (const found of entries) {
    const path = `${folder}/${found.name}`;
    if (found.name.startsWith(".") || LEFT_OUT.has(found.name)) continue;
    if (found.isDirectory()) await walk(root, path, files);
    else if (!found.isFile()) throw new EnclaveError("simulation/measure", `${path} is no file`);
    else if (CODE.test(found.name)) files.push(path);
  }
}

async function contents(root: string, path: string): Promise<Uint8Array> {
  return await readFile(`${root}/${path}`).catch(unreadable);
}

function entry(path: string, bytes: Uint8Array): ManifestEntry {
  return { path, size: bytes.length, sha256: hash("sha256", bytes, "buffer") };
}

function unreadable(cause: unknown): never {
  throw new EnclaveError("simulation/measure", "the code's files cannot be read", { cause });
}
