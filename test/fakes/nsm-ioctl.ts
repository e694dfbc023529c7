/** An ioctl of /dev/nsm that gives recorded answers, and keeps what it was asked. */
import { encodeCbor, type CborValue } from "@countersign/attestation/attester";
import type { IoctlOutcome, NsmIoctl } from "../../enclave/nsm/ioctl.ts";

/** What one call gives: bytes of an answer, or the errno's name. */
export type Recorded = Uint8Array | string;

export interface FakeIoctl {
  readonly ioctl: NsmIoctl;
  /** Copies of the requests, in their order. */
  readonly asked: Uint8Array[];
}

/** Gives `answers` one after the other; the last one for ever. */
export function recordedIoctl(answers: readonly Recorded[]): FakeIoctl {
  const asked: Uint8Array[] = [];
  const ioctl = (request: Uint8Array, response: Uint8Array): IoctlOutcome => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(request.slice());
    if (answer === undefined) throw new TypeError("nothing is recorded");
    if (typeof answer === "string") return { kind: "error", error: answer };
    response.set(answer);
    return { kind: "answer", length: answer.length };
  };
  return { ioctl, asked };
}

/** The answer `{name: result}`. */
export function answerOf(name: string, result: CborValue): Uint8Array {
  return encodeCbor(new Map([[name, result]]));
}
