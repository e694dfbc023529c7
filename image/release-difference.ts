/** Why a rebuilt image measures differently: the options, the inputs, or neither. */
import { ImageError } from "./errors.ts";
import type { Release, ReleaseInput } from "./release.ts";

/** One thing that is not as it was released. */
export interface Difference {
  /** `architecture`, `options.cmdline`, `kernel`, `1:/bin/node`, … */
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
}

/** What a rebuild comes to. */
export interface Comparison {
  /** PCR0, PCR1 and PCR2 are those of the release. */
  readonly equal: boolean;
  /**
   * How the whole files stand. A signed one cannot be made again, by anyone: it needs the key, and
   * ECDSA takes a random number. No register of ours covers the signature.
   */
  readonly file: "same" | "different" | "signed";
  /** Registers whose values differ. */
  readonly registers: readonly string[];
  /** In the order of the image. May be empty although registers differ: then the packing does. */
  readonly differences: readonly Difference[];
}

const REGISTERS = ["pcr0", "pcr1", "pcr2"] as const;
const ABSENT = "not there";

/** How `rebuilt` stands to `released`. */
export function compareReleases(released: Release, rebuilt: Release): Comparison {
  const registers = REGISTERS.filter(
    (name) => released.measurements[name] !== rebuilt.measurements[name],
  );
  return {
    equal: registers.length === 0,
    file: compareFiles(released, rebuilt),
    registers,
    differences: [...settings(released, rebuilt), ...inputs(released.inputs, rebuilt.inputs)],
  };
}

/** The refusal of a rebuild that measures differently, with the first input that differs; or null. */
export function differenceOf({ equal, registers, differences }: Comparison): ImageError | null {
  if (equal) return null;
  const where = registers.map((name) => name.toUpperCase()).join(", ");
  const [first] = differences;
  const what = first === undefined ? "no input differs, but how they are packed" : first.what;
  return new ImageError("image/differs", `${where}: ${what}`);
}

function compareFiles(released: Release, rebuilt: Release): Comparison["file"] {
  if (released.image.sha256 === rebuilt.image.sha256) return "same";
  return released.measurements.pcr8 === null ? "different" : "signed";
}

function settings(released: Release, rebuilt: Release): readonly Difference[] {
  const rows = [
    ["architecture", rebuilt.architecture, released.architecture],
    ["options.cmdline", rebuilt.options.cmdline, released.options.cmdline],
    ["options.arguments", argumentsOf(rebuilt), argumentsOf(released)],
  ] as const;
  return rows.flatMap(([what, found, wanted]) =>
    found === wanted ? [] : [{ what, found, wanted }],
  );
}

function argumentsOf({ options }: Release): string {
  return JSON.stringify(options.arguments);
}

function inputs(
  released: readonly ReleaseInput[],
  rebuilt: readonly ReleaseInput[],
): readonly Difference[] {
  const found = new Map(rebuilt.map((input) => [input.path, input]));
  const wanted = new Set(released.map(({ path }) => path));
  const changed = released.flatMap((input) => {
    const other = found.get(input.path);
    if (other !== undefined && sameInput(input, other)) return [];
    const is = other === undefined ? ABSENT : describe(other, input);
    return [{ what: input.path, found: is, wanted: describe(input, other ?? null) }];
  });
  const surplus = rebuilt.filter(({ path }) => !wanted.has(path));
  return [
    ...changed,
    ...surplus.map((input) => ({
      what: input.path,
      found: describe(input, null),
      wanted: ABSENT,
    })),
  ];
}

function sameInput(a: ReleaseInput, b: ReleaseInput): boolean {
  return a.kind === b.kind && a.mode === b.mode && a.bytes === b.bytes && a.sha256 === b.sha256;
}

/** An input in words; of its kind and mode only what the other has not. */
function describe(input: ReleaseInput, other: ReleaseInput | null): string {
  const { kind, mode, bytes, sha256 } = input;
  const content = kind === "directory" ? "" : `${bytes} bytes, SHA-256 ${sha256}`;
  const differs = other === null || other.kind !== kind || other.mode !== mode;
  const form = differs && mode !== null ? `${kind}, mode ${mode}` : "";
  return [form, content].filter((part) => part !== "").join(", ");
}
