/**
 * Every reason for which the enclave stops, or refuses one exchange.
 *
 * Codes are API: they are added, never renamed.
 */
export type EnclaveErrorCode =
  // Start
  | "boot/arguments"
  | "boot/environment"
  | "boot/mount"
  | "boot/module"
  | "boot/heartbeat"
  | "boot/privileges"
  | "boot/randomness"
  | "boot/memory"
  // Time
  | "clock/skew"
  | "clock/jumped"
  // Nitro Secure Module
  | "nsm/device"
  | "nsm/permission"
  | "nsm/timeout"
  | "nsm/malformed"
  | "nsm/refused"
  | "nsm/register"
  // Simulation
  | "simulation/vendor-key"
  | "simulation/measure"
  // What the host gives at boot
  | "provision/unreachable"
  | "provision/status"
  | "provision/too-large"
  | "provision/slow"
  // What opens sealed models
  | "key/services"
  | "key/unreachable"
  | "key/throttled"
  | "key/denied"
  | "key/refused"
  | "key/answer"
  | "key/envelope"
  | "key/credentials"
  // Epochs
  | "epoch/lifetime"
  | "epoch/failed"
  // One exchange
  | ExchangeErrorCode
  // Loading models
  | "model/digest"
  | "model/manifest"
  | "model/version"
  | "model/size"
  | "model/hash"
  | "model/sealed"
  | "model/metadata"
  | "model/external-data"
  | "model/unsupported"
  | "model/load"
  // Loading a Hugging Face export
  | "model/config"
  | "model/tokenizer"
  | "model/template"
  | "model/cache"
  | "model/memory"
  // One inference
  | RequestErrorCode;

/** Every reason for which the ring refuses or ends one exchange; answers.ts gives each its answer. */
export type ExchangeErrorCode =
  // Before it is known to be a request for us, or a second time
  | "exchange/replay"
  | "exchange/epoch-full"
  // What is inside
  | "exchange/keyset"
  | "exchange/date"
  | "exchange/target"
  | "exchange/too-large"
  | "exchange/busy"
  | "exchange/slow"
  // How it ended
  | "exchange/timeout"
  | "exchange/aborted"
  | "exchange/handler";

/** Every reason for which the API refuses or fails one request; api/refusals.ts gives each a status. */
export type RequestErrorCode =
  // The caller's
  | "request/path"
  | "request/method"
  | "request/too-large"
  | "request/json"
  | "request/structure"
  | "request/parameter"
  | "request/binary"
  | "model/unknown"
  | "input/unknown"
  | "input/missing"
  | "input/duplicate"
  | "input/datatype"
  | "input/shape"
  | "input/empty"
  | "input/length"
  | "input/value"
  | "input/binary-only"
  | "output/unknown"
  | "output/duplicate"
  | "output/binary-only"
  // The caller's, where it asks for text
  | "request/unsupported"
  | "prompt/template"
  | "prompt/too-long"
  | "constraint/schema"
  | "memory/full"
  // The enclave's
  | "queue/full"
  | "inference/timeout"
  | "inference/aborted"
  | "inference/failed"
  | "engine/closed"
  | "engine/failed"
  | "engine/stalled";

/** The enclave stops, or refuses one exchange. `code` says which rule was broken. */
export class EnclaveError extends Error {
  override readonly name = "EnclaveError";
  readonly code: EnclaveErrorCode;
  /** The field of the request or file that is at fault, where it has a name. */
  readonly param: string | null;

  constructor(
    code: EnclaveErrorCode,
    message: string,
    options?: ErrorOptions & { readonly param?: string },
  ) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.param = options?.param ?? null;
  }
}
