/** The public types of @countersign/image. Written by test/api/generate.ts. */
import type { KeyObject } from "node:crypto";

export type Architecture = "x86_64" | "arm64";

export interface BuildOptions extends TreeOptions {
  readonly kernel: string;
  readonly cmdline: string;
  readonly signingKey: SigningKey | null;
  readonly out: string;
}

export type BuiltImage = MeasuredImage;

export interface Comparison {
  readonly equal: boolean;
  readonly file: "same" | "different" | "signed";
  readonly registers: readonly string[];
  readonly differences: readonly Difference[];
}

export type Content =
  | {
      readonly from: "memory";
      readonly bytes: Uint8Array;
    }
  | {
      readonly from: "disk";
      readonly file: string;
      readonly size: number;
    };

export declare const DEFAULT_CMDLINES: Readonly<Record<Architecture, string>>;

export interface Difference {
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
}

export declare const ENCLAVE_ENTRIES: readonly [string, string];

export type Entry =
  | FileEntry
  | {
      readonly kind: "directory";
      readonly path: string;
    }
  | {
      readonly kind: "link";
      readonly path: string;
      readonly target: string;
    }
  | {
      readonly kind: "device";
      readonly path: string;
      readonly major: number;
      readonly minor: number;
    };

export interface FileEntry {
  readonly kind: "file";
  readonly path: string;
  readonly executable: boolean;
  readonly content: Content;
}

export interface Graph {
  readonly modules: readonly string[];
  readonly packages: readonly string[];
  readonly packageFiles: readonly string[];
  readonly workspaces: readonly string[];
}

export declare class ImageError extends Error {
  readonly name = "ImageError";
  readonly code: ImageErrorCode;
  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions);
}

export type ImageErrorCode =
  "image/malformed" | "image/checksum" | "image/signature" | "image/input" | "image/differs";

export interface ImageLayout {
  readonly file: string;
  readonly bytes: number;
  readonly architecture: Architecture;
  readonly sections: readonly Section[];
}

export interface ImageSignature {
  readonly certificate: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export declare const KEY_SERVICES = "enclave/key-services.json";

export declare const MAX_RELEASE_BYTES: number;

export interface MeasuredImage extends ImageLayout, Registers {
  readonly pcr8: Uint8Array | null;
  readonly signature: ImageSignature | null;
  readonly sha256: Uint8Array;
}

export interface Rebuild {
  readonly rebuilt: Release;
  readonly comparison: Comparison;
}

export interface RebuildInputs {
  readonly root: string;
  readonly kernel: string;
  readonly modules: readonly string[];
  readonly libraries: readonly string[];
  readonly keyServices: string | null;
  readonly out: string;
}

export interface Registers {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
}

export interface Release {
  readonly version: 1;
  readonly name: string;
  readonly architecture: Architecture;
  readonly image: {
    readonly bytes: number;
    readonly sha256: string;
  };
  readonly measurements: ReleaseMeasurements;
  readonly source: ReleaseSource | null;
  readonly options: ReleaseOptions;
  readonly inputs: readonly ReleaseInput[];
}

export interface ReleaseInput {
  readonly kind: InputKind;
  readonly path: string;
  readonly mode: string | null;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ReleaseSource {
  readonly commit: string;
  readonly clean: boolean;
}

export interface Section {
  readonly type: SectionType;
  readonly offset: number;
  readonly bytes: number;
}

export type SectionType = keyof typeof TYPES;

export interface SigningKey {
  readonly key: KeyObject;
  readonly certificatePem: string;
}

export interface Tree {
  readonly platform: readonly Entry[];
  readonly application: readonly Entry[];
}

export interface TreeOptions {
  readonly root: string;
  readonly architecture: Architecture;
  readonly modules: readonly string[];
  readonly libraries: readonly string[];
  readonly entries: readonly [string, ...string[]];
  readonly arguments: readonly string[];
  readonly keyServices: string | null;
}

export declare function buildImage(options: BuildOptions): Promise<BuiltImage>;

export declare function compareReleases(released: Release, rebuilt: Release): Comparison;

export declare function cpioBytes(entries: readonly Entry[]): number;

export declare function cpioChunks(entries: readonly Entry[]): AsyncGenerator<Uint8Array>;

export declare function describeImage(
  file: string,
  name: string,
  source: ReleaseSource | null,
): Promise<Release>;

export declare function differenceOf({
  equal,
  registers,
  differences,
}: Comparison): ImageError | null;

export declare function enclaveTree(options: TreeOptions): Promise<Tree>;

export declare function encodeRelease(release: Release): string;

export declare function measureImage(file: string): Promise<MeasuredImage>;

export declare function moduleGraph(root: string, entries: readonly string[]): Graph;

export declare function parseRelease(text: string): Release;

export declare function parseSigningKey(
  keyPem: string,
  certificatePem: string,
  nowMs: number,
): SigningKey;

export declare function rebuildImage(release: Release, inputs: RebuildInputs): Promise<Rebuild>;

export declare function sectionChunks(
  { file }: ImageLayout,
  section: Section,
): AsyncGenerator<Uint8Array>;

export declare function writeDirectory(directory: string, entries: readonly Entry[]): Promise<void>;

type InputKind = (typeof KINDS)[number];

declare const KINDS: readonly ["section", "file", "directory", "link", "device"];

interface ReleaseMeasurements {
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
  readonly pcr8: string | null;
}

interface ReleaseOptions {
  readonly cmdline: string;
  readonly arguments: readonly string[];
}

declare const TYPES: {
  readonly kernel: 1;
  readonly cmdline: 2;
  readonly metadata: 5;
  readonly ramdisk: 3;
  readonly signature: 4;
};

export {};
