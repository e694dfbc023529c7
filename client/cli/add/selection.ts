/** Which files of an origin make a model, and where each lies in a version's directory. */
import { ProtocolError, requireSafePath } from "@countersign/protocol";

import { CommandError } from "../exit.ts";
import type { OriginFile } from "./origin.ts";
import { showBytes } from "./progress.ts";

/** A file and its place in the model. */
export interface SelectedFile {
  readonly file: OriginFile;
  /** Path in the version's directory. */
  readonly to: string;
}

export interface Selection {
  /** A Hugging Face export, or a graph alone. */
  readonly kind: "export" | "graph";
  readonly graph: SelectedFile;
  /** Everything but the graph and the files that it names itself. */
  readonly others: readonly SelectedFile[];
}

/** The files of an export beside its graph, and of ours. They all are small. */
const EXPORT_FILES = [
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "modules.json",
  "sentence_bert_config.json",
  "1_Pooling/config.json",
  "2_Normalize/config.json",
  "metadata.json",
] as const;
const METADATA = "metadata.json";
/** What an export cannot do without. */
const REQUIRED = ["config.json", "tokenizer.json"] as const;
const MAX_SMALL_BYTES = 64 * 1024 * 1024;

/** How onnx-community and transformers.js name the variants of a graph; the first is full precision. */
const SUFFIXES = ["", "fp16", "quantized", "int8", "uint8", "q4", "q4f16", "bnb4", "q2"] as const;
/** `q8` is what people say for `model_quantized.onnx`. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["fp32", ""],
  ["q8", "quantized"],
]);
const VARIANT = /^[a-z0-9][a-z0-9_]{0,31}$/u;
/** The directory of an export's graphs. */
const GRAPHS = "onnx/";
const GRAPH = /^(?:onnx\/)?[^/]+\.onnx$/u;
/** The one name of a graph that stands alone. */
const LONE_GRAPH = "model.onnx";
const EXTERNAL = /^(.+\.onnx)(?:_data(?:_\d{1,3})?|\.data)$/u;
const MAX_SHOWN_GRAPHS = 12;

/** Every file that an origin without a listing is asked for. */
export const CANDIDATES: readonly string[] = [
  ...EXPORT_FILES,
  ...SUFFIXES.flatMap((suffix) => [`${GRAPHS}${graphName(suffix)}`, graphName(suffix)]),
];

/**
 * Chooses the files of one variant.
 *
 * @throws CommandError where there is no such graph, with those that there are; or where an export
 * lacks what it needs.
 */
export function selectFiles(
  files: readonly OriginFile[],
  variant: string | null,
  origin: string,
): Selection {
  const graphs = files.filter(({ path }) => GRAPH.test(path));
  const graph = chooseGraph(graphs, variant, files, origin);
  const named = (path: string): OriginFile | null =>
    files.find((file) => file.path === path) ?? null;
  if (named("tokenizer.json") === null) {
    const metadata = named(METADATA);
    const others = metadata === null ? [] : [small(metadata)];
    return { kind: "graph", graph: { file: graph, to: LONE_GRAPH }, others };
  }
  for (const path of REQUIRED) {
    if (named(path) !== null) continue;
    throw new CommandError(`${origin} has no ${path}: it is no export that can be served`);
  }
  const others = EXPORT_FILES.flatMap((path) => {
    const file = named(path);
    return file === null ? [] : [small(file)];
  });
  const to = graph.path.startsWith(GRAPHS) ? graph.path : `${GRAPHS}${graph.path}`;
  return { kind: "export", graph: { file: graph, to }, others };
}

/** A file that a graph names, beside it. @throws CommandError for a name that leads elsewhere. */
export function besideGraph(
  { file, to }: SelectedFile,
  name: string,
): { from: string; to: string } {
  try {
    requireSafePath(name);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError(`the graph names a file outside its directory: "${name}"`);
  }
  const directory = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);
  return { from: directory(file.path) + name, to: directory(to) + name };
}

/** Bytes of a graph with the files that go by its name, as far as they are known. */
export function sizeWithData(graph: OriginFile, files: readonly OriginFile[]): number | null {
  const parts = files.filter(({ path }) => EXTERNAL.exec(path)?.[1] === graph.path);
  let size: number | null = 0;
  for (const part of [graph, ...parts]) {
    size = size === null || part.size === null ? null : size + part.size;
  }
  return size;
}

function chooseGraph(
  graphs: readonly OriginFile[],
  variant: string | null,
  files: readonly OriginFile[],
  origin: string,
): OriginFile {
  // A source that is one graph has named it.
  if (variant === null && files.length === 1 && graphs[0] !== undefined) return graphs[0];
  if (variant !== null && !VARIANT.test(variant)) {
    throw new CommandError(`"${variant}" is no variant`, variantsOf(graphs, files));
  }
  const name = graphName(variant ?? "");
  const found = [`${GRAPHS}${name}`, name].flatMap(
    (path) => graphs.find((graph) => graph.path === path) ?? [],
  )[0];
  if (found !== undefined) return found;
  if (graphs.length === 0) {
    throw new CommandError(
      `${origin} has no ONNX graph`,
      "onnx-community and many others have exports; `optimum-cli export onnx` makes one",
    );
  }
  const what = variant === null ? "no graph of full precision" : `no variant "${variant}"`;
  throw new CommandError(`${origin} has ${what}`, variantsOf(graphs, files));
}

function graphName(variant: string): string {
  const suffix = ALIASES.get(variant) ?? variant;
  return suffix === "" ? LONE_GRAPH : `model_${suffix}.onnx`;
}

/** What there is instead, with sizes. */
function variantsOf(graphs: readonly OriginFile[], files: readonly OriginFile[]): string {
  const shown = graphs.slice(0, MAX_SHOWN_GRAPHS).map((graph) => {
    const size = sizeWithData(graph, files);
    const bytes = size === null ? "" : ` (${showBytes(size)})`;
    return `${variantName(graph.path)}${bytes}`;
  });
  const more = graphs.length > shown.length ? ", …" : "";
  return `there is ${shown.join(", ")}${more}`;
}

function variantName(path: string): string {
  const suffix = /(?:^|\/)model_([a-z0-9_]+)\.onnx$/u.exec(path)?.[1];
  if (suffix === undefined) return path.endsWith(LONE_GRAPH) ? "full precision" : path;
  return `--variant ${suffix === "quantized" ? "q8" : suffix}`;
}

function small(file: OriginFile): SelectedFile {
  if (file.size !== null && file.size > MAX_SMALL_BYTES) {
    throw new CommandError(`${file.path} is larger than ${showBytes(MAX_SMALL_BYTES)}`);
  }
  return { file, to: file.path };
}
