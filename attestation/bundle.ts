/**
 * Bundle: what a client fetches from a node to judge it, cacheable and carrying no trust of its own.
 *
 * ```cddl
 * Bundle = { 1: "countersign/bundle/v1", 2: platform tstr, 3: evidence bstr, 4: binding bstr,
 *            5: keyset bstr, 6: models bstr, 7: config bstr, 8: endorsements { * tstr => bstr } }
 * ```
 */
import {
  type CborKey,
  type CborProfile,
  type CborValue,
  DETERMINISTIC,
  encodeCbor,
} from "./cbor.ts";
import { parseFields, requireName, type Shape } from "./structure.ts";

const TAG = "countersign/bundle/v1";

/** PROTOCOL.md, "Limits". */
export const MAX_BUNDLE_BYTES = 262_144;
const MAX_EVIDENCE_BYTES = 65_536;
const MAX_PREIMAGE_BYTES = 131_072;
const MAX_ENDORSEMENTS = 16;

const PROFILE: CborProfile = { ...DETERMINISTIC, maxBytes: MAX_BUNDLE_BYTES };
const BUNDLE: Shape = {
  code: "bundle/structure",
  name: "Bundle",
  tag: TAG,
  required: [1, 2, 3, 4, 5, 6, 7, 8],
};

/** A bundle's parts, parsed by shape alone: nothing in it is believed yet. */
export interface Bundle {
  /** The kind of hardware that is said to have made the evidence. */
  readonly platform: string;
  /** The attestation document, as the hardware emitted it. */
  readonly evidence: Uint8Array;
  /** EpochBinding, Keyset, ModelSet and RuntimeConfig: the exact bytes that were hashed. */
  readonly binding: Uint8Array;
  readonly keyset: Uint8Array;
  readonly models: Uint8Array;
  readonly config: Uint8Array;
  /** What else the platform's format needs; empty for Nitro documents, which carry their chain. */
  readonly endorsements: ReadonlyMap<string, Uint8Array>;
}

/** The bytes a node serves. @throws {@link AttestationError} as {@link parseBundle}. */
export function encodeBundle(bundle: Bundle): Uint8Array {
  const bytes = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, TAG],
      [2, bundle.platform],
      [3, bundle.evidence],
      [4, bundle.binding],
      [5, bundle.keyset],
      [6, bundle.models],
      [7, bundle.config],
      [8, new Map<CborKey, CborValue>(bundle.endorsements)],
    ]),
  );
  parseBundle(bytes);
  return bytes;
}

/** Reads a Bundle; nothing in it is believed. @throws {@link AttestationError} `bundle/structure`, `cbor/…`. */
export function parseBundle(bytes: Uint8Array): Bundle {
  const fields = parseFields(bytes, BUNDLE, PROFILE);
  const endorsements = new Map<string, Uint8Array>();
  for (const [key, value] of fields.map(8, MAX_ENDORSEMENTS)) {
    const name = requireName(key, () => fields.refusal("an endorsement's key is no name"));
    if (!(value instanceof Uint8Array)) throw fields.refusal("an endorsement is no byte string");
    endorsements.set(name, value);
  }
  return {
    platform: fields.nameText(2),
    evidence: fields.bytes(3, 1, MAX_EVIDENCE_BYTES),
    binding: fields.bytes(4, 1, MAX_PREIMAGE_BYTES),
    keyset: fields.bytes(5, 1, MAX_PREIMAGE_BYTES),
    models: fields.bytes(6, 1, MAX_PREIMAGE_BYTES),
    config: fields.bytes(7, 1, MAX_PREIMAGE_BYTES),
    endorsements,
  };
}
