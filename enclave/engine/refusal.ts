import { EnclaveError } from "../errors.ts";

/** ONNX Runtime's words about a model file, at most: they go to the log and no further. */
const MAX_REASON_CHARACTERS = 500;

/** Why a model does not load. */
export type LoadErrorCode =
  | "model/load"
  | "model/unsupported"
  | "model/external-data"
  | "model/cache"
  | "model/memory"
  | "model/config";

export interface LoadRefusal {
  readonly code: LoadErrorCode;
  readonly message: string;
  /** ONNX Runtime's words about the model file; no request was there yet. */
  readonly reason: string | null;
}

/** What to answer where loading threw `error`. */
export function loadRefusal(error: unknown): LoadRefusal {
  if (error instanceof EnclaveError) {
    const code = LOAD_CODES.find((each) => each === error.code);
    const message = error.message.slice(error.code.length + 2);
    if (code !== undefined) return { code, message, reason: null };
    // The probe ran out of what texts may take.
    if (error.code === "memory/full") return { code: "model/memory", message, reason: null };
  }
  const reason = String(error).slice(0, MAX_REASON_CHARACTERS);
  return { code: codeOf(reason), message: "ONNX Runtime does not open this model", reason };
}

const LOAD_CODES: readonly LoadErrorCode[] = [
  "model/load",
  "model/unsupported",
  "model/external-data",
  "model/cache",
  "model/memory",
  "model/config",
];

function codeOf(reason: string): LoadErrorCode {
  if (/external (data|initializer|file)|should be stored in/iu.test(reason)) {
    return "model/external-data";
  }
  return /Unsupported data type/u.test(reason) ? "model/unsupported" : "model/load";
}
