import { EnclaveError, type EnclaveErrorCode } from "../errors.ts";
import {
  encodeNsmRequest,
  MAX_NSM_RESPONSE_BYTES,
  type NsmDescription,
  type NsmRequest,
  type NsmResponse,
  parseNsmResponse,
} from "./codec.ts";
import { NSM_DEVICE, type NsmIoctl, openNsmFile } from "./ioctl.ts";
import type { AttestationRequest, Nsm, Pcr } from "./nsm.ts";

/** How often a request that a signal interrupted is made again, where that changes nothing. */
const MAX_INTERRUPTIONS = 8;

/** Opens the module. @throws EnclaveError `nsm/device`, `nsm/permission`. */
export function openNsmDevice(path: string = NSM_DEVICE): NsmDevice {
  return new NsmDevice(openNsmFile(path).ioctl);
}

/** The Nitro Secure Module behind /dev/nsm. Its calls block: the driver takes one at a time. */
export class NsmDevice implements Nsm {
  readonly #ioctl: NsmIoctl;

  constructor(ioctl: NsmIoctl) {
    this.#ioctl = ioctl;
  }

  describe(): NsmDescription {
    return this.#ask({ name: "DescribeNSM" }, "DescribeNSM").description;
  }

  describePcr(index: number): Pcr {
    return this.#ask({ name: "DescribePCR", index }, "DescribePCR").pcr;
  }

  extendPcr(index: number, data: Uint8Array): Uint8Array {
    return this.#ask({ name: "ExtendPCR", index, data }, "ExtendPCR").value;
  }

  lockPcr(index: number): void {
    this.#ask({ name: "LockPCR", index }, "LockPCR");
  }

  attest(request: AttestationRequest): Uint8Array {
    return this.#ask({ name: "Attestation", ...request }, "Attestation").document;
  }

  random(): Uint8Array {
    return this.#ask({ name: "GetRandom" }, "GetRandom").random;
  }

  /** The answer of kind `name`. @throws EnclaveError `nsm/…`. */
  #ask<Name extends NsmRequest["name"]>(
    request: NsmRequest,
    name: Name,
  ): Extract<NsmResponse, { name: Name }> {
    const answer = parseNsmResponse(this.#exchange(request));
    if (answer.name === "Error") {
      throw new EnclaveError("nsm/refused", `${request.name}: ${answer.error}`);
    }
    if (!isNamed(answer, name)) {
      throw new EnclaveError("nsm/malformed", `${request.name} is answered with ${answer.name}`);
    }
    return answer;
  }

  #exchange(request: NsmRequest): Uint8Array {
    const bytes = encodeNsmRequest(request);
    // Zeros each time: what an earlier answer left there is no part of this one.
    const response = new Uint8Array(MAX_NSM_RESPONSE_BYTES);
    for (let attempt = 0; ; attempt++) {
      const outcome = this.#ioctl(bytes, response);
      if (outcome.kind === "error") {
        if (outcome.error === "EINTR" && isRepeatable(request) && attempt < MAX_INTERRUPTIONS) {
          continue;
        }
        throw new EnclaveError(codeOf(outcome.error), `${request.name}: ${outcome.error}`);
      }
      if (outcome.length > response.length) {
        throw new EnclaveError("nsm/malformed", `an answer of ${outcome.length} bytes`);
      }
      return response.slice(0, outcome.length);
    }
  }
}

function isNamed<Name extends NsmResponse["name"]>(
  answer: NsmResponse,
  name: Name,
): answer is Extract<NsmResponse, { name: Name }> {
  return answer.name === name;
}

/** Whether asking twice is the same as asking once: a register extended twice holds another value. */
function isRepeatable(request: NsmRequest): boolean {
  return request.name !== "ExtendPCR" && request.name !== "LockPCR";
}

function codeOf(error: string): EnclaveErrorCode {
  switch (error) {
    case "EACCES":
    case "EPERM":
      return "nsm/permission";
    case "ETIMEDOUT":
      return "nsm/timeout";
    default:
      return "nsm/device";
  }
}
