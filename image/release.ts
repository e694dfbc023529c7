/**
 * The release file: what an enclave image measures, and everything that it was made of.
 *
 * It lets a stranger make the image again from the same source and the same inputs, and names the
 * first input that differs where the measurements do not come out. It is a claim like any other:
 * what counts is what the rebuild measures.
 */
import type { Architecture } from "./elf.ts";
import { ImageError } from "./errors.ts";
import { plainJson, type Reader, readObject } from "./release-json.ts";

/** Larger release files are not read: a tree of 20 000 files has one of some 4 MiB. */
export const MAX_RELEASE_BYTES: number = 16 * 1024 * 1024;

const ARCHITECTURES = ["x86_64", "arm64"] as const satisfies readonly Architecture[];
/** The path of the one input that is no entry of a ramdisk. */
export const KERNEL = "kernel";
const KINDS = ["section", "file", "directory", "link", "device"] as const;
/** Of a release; the reader takes no more. */
export const MAX_INPUTS = 20_000;
const MAX_TEXT = 4096;
const MAX_ARGUMENTS = 64;
/** Far above every image that a machine could load. */
const MAX_BYTES = 2 ** 48;
const MAX_RAMDISKS = 32;

export type InputKind = (typeof KINDS)[number];

/** One thing that the image is made of: a part of the file, or an entry of one of its ramdisks. */
export interface ReleaseInput {
  readonly kind: InputKind;
  /** `kernel`, or `1:/bin/node`: the ramdisk, from 1, and the path in it. */
  readonly path: string;
  /** Permission bits, octal, four digits; of a section none. */
  readonly mode: string | null;
  readonly bytes: number;
  /** SHA-256, lower-case hex: of the content, of a link's target, of a device's "MAJOR:MINOR". */
  readonly sha256: string;
}

/** What the builder was told besides its inputs. */
export interface ReleaseOptions {
  /** Linux's command line. */
  readonly cmdline: string;
  /** The enclave's. */
  readonly arguments: readonly string[];
}

export interface ReleaseMeasurements {
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
  /** Of the signing certificate; null where the image is not signed. */
  readonly pcr8: string | null;
}

/** Where the code came from. */
export interface ReleaseSource {
  /** Git's name of the commit. */
  readonly commit: string;
  /** Whether the checkout was that commit and nothing else. */
  readonly clean: boolean;
}

export interface Release {
  readonly version: 1;
  /** The name of these measurements in policies. */
  readonly name: string;
  readonly architecture: Architecture;
  readonly image: { readonly bytes: number; readonly sha256: string };
  readonly measurements: ReleaseMeasurements;
  /** Null where the code lay in no git checkout. */
  readonly source: ReleaseSource | null;
  readonly options: ReleaseOptions;
  /** In the order in which they lie in the image. */
  readonly inputs: readonly ReleaseInput[];
}

/** The file's text: two spaces, one input a line, so that two releases can be compared by `diff`. */
export function encodeRelease(release: Release): string {
  const { inputs, ...rest } = release;
  const lines = inputs.map((input) => `    ${JSON.stringify(input)}`).join(",\n");
  const head = JSON.stringify(rest, null, 2).slice(0, -2);
  return `${head},\n  "inputs": [\n${lines}\n  ]\n}\n`;
}

/**
 * Reads a release file.
 *
 * @throws ImageError `image/input`; its message begins with a JSON pointer.
 */
export function parseRelease(text: string): Release {
  const root = readObject(plainJson(text), "");
  // The version first: it says what the other keys mean.
  const version = root.has("version") ? root.integer("version", 0, Number.MAX_SAFE_INTEGER) : null;
  if (version !== 1) throw new ImageError("image/input", `/version: ${version}, want 1`);
  const release: Release = {
    version,
    name: root.text("name", 1, MAX_TEXT),
    architecture: root.oneOf("architecture", ARCHITECTURES),
    image: readImage(root.object("image")),
    measurements: readMeasurements(root.object("measurements")),
    source: root.isNull("source") ? null : readSource(root.object("source")),
    options: readOptions(root.object("options")),
    inputs: root.objects("inputs", 1, MAX_INPUTS).map(readInput),
  };
  root.end();
  requireOrder(release.inputs);
  return release;
}

function readImage(image: Reader): Release["image"] {
  const found = {
    bytes: image.integer("bytes", 1, MAX_BYTES),
    sha256: image.hex("sha256", 32),
  };
  image.end();
  return found;
}

function readMeasurements(measurements: Reader): ReleaseMeasurements {
  const found = {
    pcr0: measurements.hex("pcr0", 48),
    pcr1: measurements.hex("pcr1", 48),
    pcr2: measurements.hex("pcr2", 48),
    pcr8: measurements.isNull("pcr8") ? null : measurements.hex("pcr8", 48),
  };
  measurements.end();
  return found;
}

function readSource(source: Reader): ReleaseSource {
  const found = { commit: source.hex("commit", 20, 32), clean: source.boolean("clean") };
  source.end();
  return found;
}

function readOptions(options: Reader): ReleaseOptions {
  const found = {
    cmdline: options.text("cmdline", 1, MAX_TEXT),
    arguments: options.texts("arguments", MAX_ARGUMENTS, MAX_TEXT),
  };
  options.end();
  return found;
}

function readInput(input: Reader): ReleaseInput {
  const kind = input.oneOf("kind", KINDS);
  const found = {
    kind,
    path: input.text("path", 1, MAX_TEXT),
    mode: kind === "section" ? input.null("mode") : input.pattern("mode", /^[0-7]{4}$/u),
    bytes: input.integer("bytes", 0, MAX_BYTES),
    sha256: input.hex("sha256", 32),
  };
  input.end();
  const known = kind === "section" ? found.path === KERNEL : isEntry(found.path);
  if (!known) throw input.refusal("path", `"${found.path}" is no path of a ${kind}`);
  return found;
}

/** `1:/bin/node`, without parts that lead elsewhere. */
function isEntry(path: string): boolean {
  const [, ramdisk = "", inside = ""] = /^([1-9]\d?):\/(.*)$/su.exec(path) ?? [];
  const parts = inside === "" ? [] : inside.split("/");
  return (
    ramdisk !== "" &&
    Number(ramdisk) <= MAX_RAMDISKS &&
    parts.every((part) => part !== "" && part !== "." && part !== "..")
  );
}

/** Every path once; the kernel first. */
function requireOrder(inputs: readonly ReleaseInput[]): void {
  if (inputs[0]?.path !== KERNEL) {
    throw new ImageError("image/input", `/inputs/0/path: want "${KERNEL}"`);
  }
  const seen = new Set<string>();
  for (const [index, { path }] of inputs.entries()) {
    if (seen.has(path)) {
      throw new ImageError("image/input", `/inputs/${index}/path: "${path}" is there twice`);
    }
    seen.add(path);
  }
}
