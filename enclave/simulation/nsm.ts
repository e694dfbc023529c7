/**
 * A Nitro Secure Module in software, with a root of its own.
 *
 * Registers, locks and documents behave as the device's; only the root differs, so the verifier that
 * judges AWS's documents judges these. It is not part of the production image.
 */
import {
  type CborKey,
  type CborValue,
  concatBytes,
  encodeCbor,
  encodeHex,
  encodeUtf8,
  sigStructure,
} from "@countersign/attestation/attester";
import { generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from "node:crypto";
import { EnclaveError } from "../errors.ts";
import { PCR_BYTES, requireAttestationRequest } from "../nsm/codec.ts";
import type { AttestationRequest, Nsm, Pcr } from "../nsm/nsm.ts";
import { issueCertificate } from "./certificate.ts";
import { randomSerial, type Vendor } from "./vendor.ts";

/** `max_pcrs` of the device. */
const REGISTERS = 32;
/** Locked before the enclave's first instruction: image, kernel, application, role, instance. */
const BOOT_REGISTERS = 16;
/** SHA-384 of the parent instance's id. */
const INSTANCE_REGISTER = 4;
const RANDOM_BYTES = 256;
const MAX_EXTEND_BYTES = 512;

/** As AWS: an instance's certificate lasts a day, a leaf's three hours. */
const INSTANCE_LIFETIME_MS = 86_400_000;
const LEAF_LIFETIME_MS = 10_800_000;
/** A certificate begins this long before it is made. */
const BACKDATE_MS = 3_000;
/** A leaf is used for this long, so that each one covers two hours and fifty minutes at least. */
const LEAF_USE_MS = 600_000;
const INSTANCE_USE_MS = INSTANCE_LIFETIME_MS / 2;
/** Where AWS names its region. */
const DOMAIN = "simulated.countersign";

/** {1: ES384} (RFC 9053 §2.1). */
const PROTECTED = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);

/** PCR0 to PCR2, 48 bytes each. */
export interface ImageMeasurement {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
}

/** What the hardware reports of an enclave started in debug mode: registers of zero. */
export const DEBUG_IMAGE: ImageMeasurement = {
  pcr0: new Uint8Array(PCR_BYTES),
  pcr1: new Uint8Array(PCR_BYTES),
  pcr2: new Uint8Array(PCR_BYTES),
};

interface Issued {
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly issuedMs: number;
}

export class SimulatedNsm implements Nsm {
  readonly moduleId: string;
  readonly #vendor: Vendor;
  readonly #instanceId: string;
  readonly #nowMs: () => number;
  readonly #values: Uint8Array[];
  readonly #locked: boolean[];
  #instance: Issued | null = null;
  #leaf: Issued | null = null;

  constructor(vendor: Vendor, image: ImageMeasurement, nowMs: () => number) {
    this.#vendor = vendor;
    this.#nowMs = nowMs;
    this.#instanceId = `i-${encodeHex(randomBytes(9)).slice(1)}`;
    this.moduleId = `${this.#instanceId}-enc${encodeHex(randomBytes(8))}`;
    this.#values = Array.from({ length: REGISTERS }, () => new Uint8Array(PCR_BYTES));
    this.#locked = Array.from({ length: REGISTERS }, (_, index) => index < BOOT_REGISTERS);
    [image.pcr0, image.pcr1, image.pcr2].forEach((value, index) => {
      if (value.length !== PCR_BYTES) throw new TypeError(`PCR${index} of ${value.length} bytes`);
      this.#values[index] = value.slice();
    });
    this.#values[INSTANCE_REGISTER] = extended(
      new Uint8Array(PCR_BYTES),
      encodeUtf8(this.#instanceId),
    );
  }

  describePcr(index: number): Pcr {
    return { locked: this.#locked[index] === true, value: this.#register(index).slice() };
  }

  extendPcr(index: number, data: Uint8Array): Uint8Array {
    const value = this.#register(index);
    this.#requireUnlocked(index);
    if (data.length === 0 || data.length > MAX_EXTEND_BYTES) {
      throw new EnclaveError("nsm/refused", `InputTooLarge: ${data.length} bytes`);
    }
    const next = extended(value, data);
    this.#values[index] = next;
    return next.slice();
  }

  lockPcr(index: number): void {
    this.#register(index);
    this.#requireUnlocked(index);
    this.#locked[index] = true;
  }

  attest(request: AttestationRequest): Uint8Array {
    requireAttestationRequest(request);
    const nowMs = this.#nowMs();
    const instance = this.#instanceAt(nowMs);
    const leaf = this.#leafAt(nowMs, instance);
    const payload = mapInOrder([
      ["module_id", this.moduleId],
      ["digest", "SHA384"],
      ["timestamp", nowMs],
      ["pcrs", this.#lockedRegisters()],
      ["certificate", leaf.certificate],
      ["cabundle", [this.#vendor.certificate, instance.certificate]],
      ["public_key", request.publicKey],
      ["user_data", request.userData],
      ["nonce", request.nonce],
    ]);
    const key = { key: leaf.privateKey, dsaEncoding: "ieee-p1363" } as const;
    const signature = new Uint8Array(sign("sha384", sigStructure("ES384", payload), key));
    // The device writes COSE_Sign1 without its tag 18.
    return encodeCbor([PROTECTED, new Map(), payload, signature]);
  }

  random(): Uint8Array {
    return new Uint8Array(randomBytes(RANDOM_BYTES));
  }

  #register(index: number): Uint8Array {
    const value = this.#values[index];
    if (value === undefined) throw new EnclaveError("nsm/refused", `InvalidIndex: ${index}`);
    return value;
  }

  #requireUnlocked(index: number): void {
    if (this.#locked[index] === true) {
      throw new EnclaveError("nsm/refused", `ReadOnlyIndex: ${index}`);
    }
  }

  /** AWS Nitro Enclaves attestation process §3.2: a document lists the registers that are locked. */
  #lockedRegisters(): ReadonlyMap<CborKey, CborValue> {
    const pcrs = new Map<CborKey, CborValue>();
    this.#values.forEach((value, index) => {
      if (this.#locked[index] === true) pcrs.set(index, value);
    });
    return pcrs;
  }

  #instanceAt(nowMs: number): Issued {
    const held = this.#instance;
    if (held !== null && nowMs - held.issuedMs < INSTANCE_USE_MS) return held;
    this.#leaf = null;
    this.#instance = issue(this.#vendor.name, this.#vendor, nowMs, {
      role: { authority: true, pathLength: 0 },
      subjectName: this.#instanceName(),
      lifetimeMs: INSTANCE_LIFETIME_MS,
    });
    return this.#instance;
  }

  #leafAt(nowMs: number, instance: Issued): Issued {
    const held = this.#leaf;
    if (held !== null && nowMs - held.issuedMs < LEAF_USE_MS) return held;
    this.#leaf = issue(this.#instanceName(), instance, nowMs, {
      role: { authority: false },
      subjectName: `${this.moduleId}.${DOMAIN}`,
      lifetimeMs: LEAF_LIFETIME_MS,
    });
    return this.#leaf;
  }

  #instanceName(): string {
    return `${this.#instanceId}.${DOMAIN}`;
  }
}

function issue(
  issuerName: string,
  issuer: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  nowMs: number,
  what: {
    readonly role: Parameters<typeof issueCertificate>[0]["role"];
    readonly subjectName: string;
    readonly lifetimeMs: number;
  },
): Issued {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const certificate = issueCertificate({
    role: what.role,
    serial: randomSerial(),
    issuerName,
    issuerKey: issuer.privateKey,
    issuerPublicKey: issuer.publicKey,
    subjectName: what.subjectName,
    subjectPublicKey: publicKey,
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: nowMs + what.lifetimeMs,
  });
  return { certificate, privateKey, publicKey, issuedMs: nowMs };
}

function extended(value: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(hash("sha384", concatBytes(value, data), "buffer"));
}

/** A map whose keys stay in this order, as AWS writes it; it is not sorted. */
function mapInOrder(entries: readonly (readonly [string, CborValue])[]): Uint8Array {
  const items = entries.flatMap(([key, value]) => [encodeCbor(key), encodeCbor(value)]);
  return concatBytes(Uint8Array.of(0xa0 | entries.length), ...items);
}
