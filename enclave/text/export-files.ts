/** The layout of a Hugging Face export: which of a version's files are what. */
import { EnclaveError } from "../errors.ts";
import type { SessionFiles } from "../engine/messages.ts";
import { parseSection, type Section } from "./model-json.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Where `optimum` and `onnx-community` put graphs; external data lies beside them. */
const GRAPH_FOLDER = "onnx/";
const GRAPH = /^onnx\/[^/]+\.onnx$/u;
export const CONFIG_FILE = "config.json";
const TOKENIZER_FILE = "tokenizer.json";
const TOKENIZER_CONFIG_FILE = "tokenizer_config.json";
const GENERATION_CONFIG_FILE = "generation_config.json";

const MAX_CONFIG_BYTES = 1_048_576;
/** Gemma's, the largest known, has 33 MB. */
const MAX_TOKENIZER_BYTES = 67_108_864;

/** An export's configuration, parsed, and the files of its session. */
export interface ExportFiles {
  readonly session: SessionFiles;
  readonly config: Section;
  readonly generation: Section | null;
  readonly tokenizer: Section;
  readonly tokenizerConfig: Section | null;
  /** Any other file of the version. */
  file(path: string): Bytes | null;
}

/** Whether these paths are an export and not a bare model.onnx. */
export function isExport(paths: readonly string[]): boolean {
  return paths.some((path) => GRAPH.test(path));
}

/**
 * The path of an export's only graph.
 *
 * @throws {@link EnclaveError} `model/manifest` where there are several, or a file that it needs is not
 * there.
 */
export function requireGraphPath(paths: readonly string[]): string {
  const graphs = paths.filter((path) => GRAPH.test(path));
  const [graph] = graphs;
  if (graph === undefined || graphs.length > 1) {
    const found = graphs.length === 0 ? "none" : graphs.join(", ");
    throw new EnclaveError("model/manifest", `want one graph in ${GRAPH_FOLDER}, found ${found}`);
  }
  for (const path of [CONFIG_FILE, TOKENIZER_FILE]) {
    if (!paths.includes(path)) {
      throw new EnclaveError("model/manifest", `an export without ${path}`, { param: path });
    }
  }
  return graph;
}

/** @throws {@link EnclaveError} `model/manifest`, `model/config`, `model/tokenizer`. */
export function readExportFiles(files: ReadonlyMap<string, Bytes>): ExportFiles {
  const graphPath = requireGraphPath([...files.keys()]);
  const graph = files.get(graphPath);
  if (graph === undefined) throw new TypeError("the graph is one of the files");
  const external = [...files]
    .filter(([path]) => path.startsWith(GRAPH_FOLDER) && path !== graphPath)
    .map(([path, bytes]) => ({ path: path.slice(GRAPH_FOLDER.length), bytes }));
  const parse = (path: string): Section | null => {
    const bytes = files.get(path);
    return bytes === undefined ? null : parseSection(bytes, path, "model/config", MAX_CONFIG_BYTES);
  };
  const config = parse(CONFIG_FILE);
  const tokenizerBytes = files.get(TOKENIZER_FILE);
  if (config === null || tokenizerBytes === undefined) {
    throw new TypeError("both were required before");
  }
  return {
    session: { graph, external },
    config,
    generation: parse(GENERATION_CONFIG_FILE),
    tokenizer: parseSection(tokenizerBytes, TOKENIZER_FILE, "model/tokenizer", MAX_TOKENIZER_BYTES),
    tokenizerConfig: parse(TOKENIZER_CONFIG_FILE),
    file: (path) => files.get(path) ?? null,
  };
}
