/** Bare documents of our own enclaves: `user_data` is an EpochBinding (PROTOCOL 4). */
import { encodeEpochBinding, type EpochBinding, modelsRegister } from "@countersign/attestation";
import { FAKE_NOW_MS } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { bstr, map } from "../cbor.ts";
import { accepted, BOUND, refused, UNBOUND } from "../document-case.ts";
import { labDocument, register, registers } from "../lab.ts";
import { REVOKED_KEYSET, SKEW_MS } from "../lab-policies.ts";

const NOW = FAKE_NOW_MS / 1000;
const MODELS_DIGEST = register(0x21, 32);

export async function epochCases(): Promise<readonly Case[]> {
  const [models, other] = [
    await modelsRegister(MODELS_DIGEST),
    await modelsRegister(register(0x22, 32)),
  ];
  const skew = SKEW_MS / 1000;
  const of = (changes: Partial<EpochBinding> = {}, value: Uint8Array | null = models) =>
    labDocument({
      fields: {
        user_data: bstr(encodeEpochBinding({ ...BINDING, ...changes })),
        pcrs: map(registers({ 16: value })),
      },
    });
  const lifetime = (name: string, what: string, changes: Partial<EpochBinding>): Promise<Case> =>
    refused("binding/lifetime", name, what, "PROTOCOL 4", of(changes));
  const registered = (name: string, what: string, value: Uint8Array | null): Promise<Case> =>
    refused("binding/register", name, what, "PROTOCOL 4", of({}, value), {
      skipped: ["keyset", "modelset", "config"],
    });
  const bound = (name: string, what: string, changes: Partial<EpochBinding>): Promise<Case> =>
    accepted(name, what, "PROTOCOL 4", of(changes), { skipped: BOUND });
  return Promise.all([
    bound("bare-epoch", "a document of an epoch, without its bundle", {}),
    bound("bare-epoch-first-second", "an epoch that begins now, give or take the skew", {
      notBefore: NOW + skew,
    }),
    bound("bare-epoch-last-second", "an epoch that ends now", { notAfter: NOW }),
    lifetime("bare-epoch-not-yet", "an epoch that begins a second after now and the skew", {
      notBefore: NOW + skew + 1,
    }),
    lifetime("bare-epoch-over", "an epoch that ended a second ago", { notAfter: NOW - 1 }),
    registered("bare-without-register-16", "an epoch without register 16", null),
    registered("bare-register-16-zero", "an epoch whose register 16 was not extended", register(0)),
    registered(
      "bare-register-16-of-other-models",
      "an epoch whose register 16 is of other models",
      other,
    ),
    refused(
      "policy/revoked",
      "bare-epoch-of-revoked-keyset",
      "an epoch whose keyset is revoked",
      "PROTOCOL 9",
      of({ keysetDigest: REVOKED_KEYSET }),
      {
        check: "keyset",
      },
    ),
    accepted(
      "bare-user-data-of-another-purpose",
      "user_data with the tag of another purpose: a document like anybody's",
      "PROTOCOL 9",
      labDocument({ fields: { user_data: bstr(map([])) } }),
      { skipped: UNBOUND },
    ),
  ]);
}

const BINDING: EpochBinding = {
  keysetDigest: register(0x20, 32),
  modelsDigest: MODELS_DIGEST,
  configDigest: register(0x23, 32),
  sequence: 1,
  notBefore: NOW - 600,
  notAfter: NOW + 6600,
  previous: null,
};
