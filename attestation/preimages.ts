/** The structures beside a document: each is the one whose digest the EpochBinding names. */
import type { EpochBinding } from "./binding.ts";
import type { Bundle } from "./bundle.ts";
import { encodeHex } from "./bytes.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "./config.ts";
import { AttestationError } from "./errors.ts";
import { requireKeysetInForce } from "./evidence-checks.ts";
import { webHashes } from "./hashes.ts";
import { type Keyset, parseKeyset } from "./keyset.ts";
import { type ModelRef, parseModelSet } from "./models.ts";
import type { Policy } from "./policy.ts";
import { importReceiptKey, type ReceiptKey } from "./receipt.ts";
import { type Finding, Refusal } from "./verdict.ts";

/** What RuntimeConfig says of padding where lengths are filled up. */
const PADDED = "buckets";

/** @throws {@link AttestationError} `policy/revoked`, `binding/keyset`, `keyset/structure`, `cbor/…`. */
export async function boundKeyset(
  bundle: Bundle,
  binding: EpochBinding,
  policy: Policy,
): Promise<Finding<{ readonly keyset: Keyset; readonly receiptKey: ReceiptKey }>> {
  requireKeysetInForce(binding, policy);
  const finding = await bound("keyset", bundle.keyset, binding.keysetDigest, parseKeyset);
  const keyset = finding.value;
  return { ...finding, value: { keyset, receiptKey: await importReceiptKey(keyset.receiptKey) } };
}

/** @throws {@link AttestationError} `binding/models`, `models/structure`, `cbor/…`. */
export function boundModels(
  bundle: Bundle,
  binding: EpochBinding,
): Promise<Finding<readonly ModelRef[]>> {
  return bound("models", bundle.models, binding.modelsDigest, parseModelSet);
}

/** @throws {@link AttestationError} `binding/config`, `config/structure`, `policy/padding`, `cbor/…`. */
export async function boundConfig(
  bundle: Bundle,
  binding: EpochBinding,
  policy: Policy,
): Promise<Finding<RuntimeConfig>> {
  const finding = await bound("config", bundle.config, binding.configDigest, parseRuntimeConfig);
  const padding = finding.value.features.get("padding");
  if (policy.padding === "required" && padding !== PADDED) {
    throw new Refusal("policy/padding", `padding ${String(padding)}`, `padding ${PADDED}`);
  }
  return finding;
}

async function bound<T>(
  what: "keyset" | "models" | "config",
  preimage: Uint8Array,
  digest: Uint8Array,
  parse: (bytes: Uint8Array) => T,
): Promise<Finding<T>> {
  const found = encodeHex(await webHashes.sha256(preimage));
  const wanted = encodeHex(digest);
  if (found !== wanted) throw new Refusal(`binding/${what}`, found, wanted);
  try {
    return { found, wanted, value: parse(preimage) };
  } catch (error) {
    // These are the bytes that the enclave vouches for: none of them was lost on the way.
    if (!(error instanceof AttestationError) || error.code !== "cbor/truncated") throw error;
    throw new AttestationError(`${what}/structure`, "preimage ends early", { cause: error });
  }
}
