/**
 * What an embedding model does around its graph: sentence-transformers' files, or our metadata.json.
 */
import type { TextMetadata } from "../models/metadata.ts";
import type { ExportFiles } from "./export-files.ts";
import {
  asSection,
  booleanAt,
  integerAt,
  isList,
  memberAt,
  numberAt,
  parseSection,
  requireInteger,
  type Section,
  textAt,
  wrong,
} from "./model-json.ts";
import type { Pooling } from "./pooling.ts";

export interface EmbeddingSettings {
  /** Tokens of one text at most, those of its beginning and end included. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly pooling: Pooling;
  readonly normalizes: boolean;
  /** sentence-transformers' own preparation: white space around a text goes, and perhaps its case. */
  readonly trims: boolean;
  readonly lowercases: boolean;
}

const MODULES_FILE = "modules.json";
const POOLING_FILE = "1_Pooling/config.json";
const SENTENCE_FILE = "sentence_bert_config.json";
const MAX_FILE_BYTES = 65_536;
const MAX_CONTEXT = 131_072;
const MAX_VOCABULARY = 1_048_576;

/** Encoders, and whether their positions begin after that of the padding token, as RoBERTa's do. */
const ENCODERS: ReadonlyMap<string, "from-zero" | "after-padding"> = new Map([
  ["bert", "from-zero"],
  ["camembert", "after-padding"],
  ["distilbert", "from-zero"],
  ["mpnet", "after-padding"],
  ["roberta", "after-padding"],
  ["xlm-roberta", "after-padding"],
]);

/** sentence-transformers' flags, and our word for each. */
const MODES: ReadonlyMap<string, Pooling> = new Map([
  ["pooling_mode_cls_token", "cls"],
  ["pooling_mode_mean_tokens", "mean"],
  ["pooling_mode_max_tokens", "max"],
  ["pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"],
  ["pooling_mode_weightedmean_tokens", "weighted_mean"],
  ["pooling_mode_lasttoken", "last"],
]);

/** Whether the version is an encoder, or says how its vectors are pooled. */
export function isEmbedding(files: ExportFiles, metadata: TextMetadata): boolean {
  const modelType = textAt(files.config, "model_type") ?? "";
  return (
    ENCODERS.has(modelType) ||
    metadata.pooling !== null ||
    files.file(MODULES_FILE) !== null ||
    files.file(POOLING_FILE) !== null
  );
}

/** @throws {@link EnclaveError} `model/config` with the field's name. */
export function readEmbeddingSettings(
  files: ExportFiles,
  metadata: TextMetadata,
): EmbeddingSettings {
  const { config } = files;
  const modelType = textAt(config, "model_type") ?? "";
  const positions = ENCODERS.get(modelType);
  if (positions === undefined) {
    const known = [...ENCODERS.keys()].join(", ");
    throw wrong(config, "model_type", `is "${modelType.slice(0, 64)}", want one of ${known}`);
  }
  const sentence = parse(files, SENTENCE_FILE);
  const length = requireInteger(config, "max_position_embeddings", 2, MAX_CONTEXT);
  const offset =
    positions === "from-zero" ? 0 : (integerAt(config, "pad_token_id", 0, length - 2) ?? 1) + 1;
  const own = sentence === null ? null : integerAt(sentence, "max_seq_length", 2, MAX_CONTEXT);
  const modules = readModules(files);
  return {
    contextLength: Math.min(length - offset, own ?? length),
    vocabularySize: requireInteger(config, "vocab_size", 2, MAX_VOCABULARY),
    ...readPooling(files, metadata, modules),
    trims: modules !== null,
    lowercases: sentence !== null && booleanAt(sentence, "do_lower_case") === true,
  };
}

function readPooling(
  files: ExportFiles,
  metadata: TextMetadata,
  modules: readonly string[] | null,
): Pick<EmbeddingSettings, "pooling" | "normalizes"> {
  const section = parse(files, POOLING_FILE);
  const pooling = section === null ? metadata.pooling : poolingMode(section);
  const normalizes = modules === null ? metadata.normalize : modules.includes("Normalize");
  if (pooling !== null && normalizes !== null) return { pooling, normalizes };
  throw wrong(
    files.config,
    null,
    `does not say how tokens become one vector: add ${POOLING_FILE} and ${MODULES_FILE}, ` +
      'or "pooling" and "normalize" in metadata.json',
  );
}

/** One flag that is true; newer releases write one name instead. */
function poolingMode(section: Section): Pooling {
  const name = textAt(section, "pooling_mode");
  if (name !== null) {
    const flags = [
      `pooling_mode_${name}`,
      `pooling_mode_${name}_token`,
      `pooling_mode_${name}_tokens`,
    ];
    const pooling = flags.map((flag) => MODES.get(flag)).find((mode) => mode !== undefined);
    if (pooling === undefined) throw wrong(section, "pooling_mode", "is not known");
    return pooling;
  }
  const named = [...MODES].filter(([flag]) => booleanAt(section, flag) === true);
  for (const key of Object.keys(section.members)) {
    if (!key.startsWith("pooling_mode_") || MODES.has(key)) continue;
    if (memberAt(section, key) !== false) throw wrong(section, key, "is not known");
  }
  const [mode, another] = named;
  if (mode === undefined || another !== undefined) {
    throw wrong(section, "pooling_mode", `names ${named.length} ways, want one`);
  }
  return mode[1];
}

/** The kinds of modules in their order, or null where there is no such file. */
function readModules(files: ExportFiles): readonly string[] | null {
  const bytes = files.file(MODULES_FILE);
  if (bytes === null) return null;
  // The file is a list; our reader takes objects.
  const open = new TextEncoder().encode('{"modules":');
  const wrapped = Uint8Array.from([...open, ...bytes, 0x7d]);
  const section = parseSection(wrapped, MODULES_FILE, "model/config", MAX_FILE_BYTES);
  const list = memberAt(section, "modules");
  if (!isList(list)) throw wrong(section, null, "is no list");
  const kinds = list.map((each, i) => {
    const module = asSection(section, String(i), each);
    numberAt(module, "idx", i, i);
    return textAt(module, "type")?.split(".").at(-1) ?? "";
  });
  const found = kinds.join(", ");
  if (!["Transformer, Pooling", "Transformer, Pooling, Normalize"].includes(found)) {
    throw wrong(section, null, `has the modules ${found.slice(0, 200)}, which we do not run`);
  }
  return kinds;
}

function parse(files: ExportFiles, path: string): Section | null {
  const bytes = files.file(path);
  return bytes === null ? null : parseSection(bytes, path, "model/config", MAX_FILE_BYTES);
}
