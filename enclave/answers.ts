/**
 * What a peer learns of an error, in one place.
 *
 * Before the encryption is open, the host reads the answer too: it gets a problem document. After,
 * only the client does, with a receipt. Failures to decrypt are all alike.
 */
import { type ProblemCode, ProtocolError, type ProtocolErrorCode } from "@countersign/protocol";
import { EnclaveError, type EnclaveErrorCode, type ExchangeErrorCode } from "./errors.ts";

/** A refusal inside the encryption. */
export interface Refusal {
  readonly status: number;
  readonly code: ExchangeErrorCode | ProtocolErrorCode;
  readonly message: string;
}

/** What the host, and whoever asked it, is told of a request that did not open. */
export function outerProblem(error: unknown): ProblemCode {
  if (error instanceof ProtocolError) return PROBLEM_OF[faultOf(error.code)];
  if (error instanceof EnclaveError && isExchangeError(error.code)) {
    return exchangeProblem(error.code);
  }
  return "unavailable";
}

/** What the client is told, after its request has opened. */
export function innerRefusal(error: unknown): Refusal {
  if (error instanceof ProtocolError) return protocolRefusal(error.code);
  if (error instanceof EnclaveError && isExchangeError(error.code)) {
    return exchangeRefusal(error.code);
  }
  return exchangeRefusal("exchange/handler");
}

/** How a code of ours looks, whichever part of the house it comes from. */
const CODE = /^[a-z0-9-]+\/[a-z0-9-]+$/u;

/** The code of an error for the log: never its text. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const code = "code" in error ? error.code : undefined;
  return typeof code === "string" && CODE.test(code) ? code : error.name;
}

/** Whose fault a refused message is, and what of it they can mend. */
type Fault = "key" | "size" | "message" | "ours";

function faultOf(code: ProtocolErrorCode): Fault {
  switch (code) {
    case "ohttp/unknown-key":
    case "hpke/destroyed":
      return "key";
    case "ohttp/too-large":
    case "bhttp/too-large":
      return "size";
    case "hpke/open":
    case "hpke/key":
    case "hpke/exhausted":
    case "ohttp/suite":
    case "ohttp/truncated":
    case "ohttp/key-config":
    case "bhttp/malformed":
    case "bhttp/field":
    case "bhttp/truncated":
    case "field/byte-sequence":
      return "message";
    case "manifest/structure":
    case "manifest/path":
    case "manifest/too-large":
    case "provisioning/structure":
    case "provisioning/limit":
    case "provisioning/model":
    case "key-services/structure":
    case "key-services/none":
    case "key-release/structure":
    case "seal/structure":
    case "seal/envelope":
      return "ours";
    default:
      return code satisfies never;
  }
}

const PROBLEM_OF: Readonly<Record<Fault, ProblemCode>> = {
  key: "unknownKey",
  size: "tooLarge",
  message: "malformed",
  ours: "unavailable",
};

function exchangeProblem(code: ExchangeErrorCode): ProblemCode {
  switch (code) {
    case "exchange/replay":
      return "replay";
    case "exchange/epoch-full":
      return "unknownKey";
    case "exchange/too-large":
      return "tooLarge";
    case "exchange/keyset":
    case "exchange/date":
    case "exchange/target":
    case "exchange/slow":
    case "exchange/aborted":
      return "malformed";
    case "exchange/busy":
    case "exchange/timeout":
    case "exchange/handler":
      return "unavailable";
    default:
      return code satisfies never;
  }
}

function protocolRefusal(code: ProtocolErrorCode): Refusal {
  const fault = faultOf(code);
  switch (fault) {
    case "size":
      return { status: 413, code, message: "the request is too large" };
    case "key":
    case "message":
      return { status: 400, code, message: "the request could not be read" };
    case "ours":
      return exchangeRefusal("exchange/handler");
    default:
      return fault satisfies never;
  }
}

function exchangeRefusal(code: ExchangeErrorCode): Refusal {
  switch (code) {
    case "exchange/keyset":
      return { status: 400, code, message: "want this epoch's keyset digest, once" };
    case "exchange/date":
      return { status: 400, code, message: "want one date within five minutes of our clock" };
    case "exchange/target":
      return { status: 400, code, message: "want a method and an http or https URL with a path" };
    case "exchange/too-large":
      return { status: 413, code, message: "the request is too large" };
    case "exchange/busy":
      return { status: 503, code, message: "too many large requests at a time: try again" };
    case "exchange/slow":
      return { status: 408, code, message: "the request was not sent in time" };
    case "exchange/timeout":
      return { status: 504, code, message: "it took too long" };
    case "exchange/aborted":
      return { status: 400, code, message: "the request broke off" };
    case "exchange/replay":
    case "exchange/epoch-full":
    case "exchange/handler":
      return { status: 500, code: "exchange/handler", message: "the request failed" };
    default:
      return code satisfies never;
  }
}

function isExchangeError(code: EnclaveErrorCode): code is ExchangeErrorCode {
  return code.startsWith("exchange/");
}
