/** ModelSets, the register they were measured into, and what policies think of them. PROTOCOL 4, 9. */
import {
  type AttestationErrorCode,
  type CborValue,
  encodeCbor,
  encodeHex,
  encodeUtf8,
  type ModelRef,
  modelsRegister,
  sha384,
} from "@countersign/attestation";
import type { EpochOptions, FakeEpoch, PolicyFile } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { indefinite, map, tstr, uint } from "../cbor.ts";
import {
  accepted,
  bundleInput,
  type Circumstances,
  type Input,
  refused,
  revoking,
} from "../node-case.ts";
import { DIGITS, epochWith, NEWER_DIGITS, otherEpoch, random, SKETCH } from "../node.ts";
import { recode } from "../recode.ts";

const MODELS_TAG = "countersign/models/v1";

/** Lists that the binding names and register 16 measured, and that are no ModelSet. */
export async function modelSetStructures(): Promise<readonly Case[]> {
  const digest = random(32);
  const model = (id: CborValue, version: CborValue = "1", of: CborValue = digest): CborValue => [
    id,
    version,
    of,
  ];
  const setOf = (...models: readonly CborValue[]): Uint8Array =>
    encodeCbor(
      new Map<number, CborValue>([
        [1, MODELS_TAG],
        [2, models],
      ]),
    );
  const many = Array.from({ length: 1025 }, (_, i) => model(`m${String(i).padStart(4, "0")}`));
  const rows: readonly (readonly [name: string, what: string, bytes: Uint8Array])[] = [
    ["models-unsorted", "ids not in order", setOf(model("b"), model("a"))],
    [
      "models-versions-unsorted",
      "versions of one id not in order",
      setOf(model("a", "2"), model("a", "1")),
    ],
    [
      "models-sorted-by-number",
      "versions in the order of numbers, not of bytes",
      setOf(model("a", "9"), model("a", "10")),
    ],
    ["models-twice", "the same model twice", setOf(model("a"), model("a"))],
    [
      "models-one-name-two-digests",
      "one id and version with two digests",
      setOf(model("a"), model("a", "1", random(32))),
    ],
    ["models-id-empty", "a model without id", setOf(model(""))],
    ["models-id-with-space", "an id with a space", setOf(model("a b"))],
    ["models-id-no-ascii", "an id beyond ASCII", setOf(model("d\u0456gits"))],
    ["models-id-of-129", "an id of 129 characters", setOf(model("a".repeat(129)))],
    ["models-id-of-bytes", "an id of bytes", setOf(model(encodeUtf8("a")))],
    ["models-version-of-integer", "a version as an integer", setOf(model("a", 1))],
    ["models-version-empty", "a model without version", setOf(model("a", ""))],
    ["models-digest-of-31", "a digest of 31 bytes", setOf(model("a", "1", random(31)))],
    ["models-digest-of-48", "a digest of 48 bytes", setOf(model("a", "1", random(48)))],
    ["models-digest-of-text", "a digest as text", setOf(model("a", "1", "ab".repeat(32)))],
    ["models-of-two-members", "a model without digest", setOf(["a", "1"])],
    ["models-of-four-members", "a model with a member more", setOf(["a", "1", digest, 0])],
    ["models-of-map", "a model as a map", setOf(new Map([[1, "a"]]))],
    [
      "models-v2",
      "the tag of another version",
      encodeCbor(
        new Map<number, CborValue>([
          [1, "countersign/models/v2"],
          [2, []],
        ]),
      ),
    ],
    ["models-without-list", "no list", encodeCbor(new Map([[1, MODELS_TAG]]))],
    ["models-with-3", "an unknown key", recode(setOf(model("a")), [3, 0])],
    ["models-of-1025", "one model more than may be", setOf(...many)],
  ];
  const indefiniteList = map([
    [uint(1), tstr(MODELS_TAG)],
    [uint(2), indefinite(4, [])],
  ]);
  const wrong = async (
    code: AttestationErrorCode,
    name: string,
    what: string,
    models: Uint8Array,
    clause: string,
  ): Promise<Case> => {
    const { bundle } = await epochWith({ preimages: { models } });
    return refused("modelset", code, name, what, clause, bundleInput(bundle));
  };
  return Promise.all([
    ...rows.map(([name, what, bytes]) =>
      wrong("models/structure", name, what, bytes, "PROTOCOL 4"),
    ),
    wrong(
      "cbor/indefinite",
      "models-indefinite-list",
      "a list of indefinite length",
      indefiniteList,
      "PROTOCOL 2",
    ),
  ]);
}

/** Register 16, which the enclave extends once with the models digest. */
export async function modelRegisters(epoch: FakeEpoch): Promise<readonly Case[]> {
  const { modelsDigest, keysetDigest } = epoch.binding;
  const honest = await modelsRegister(modelsDigest);
  const zero = new Uint8Array(48);
  const other = (await otherEpoch()).binding.modelsDigest;
  const rows: readonly (readonly [name: string, what: string, value: Uint8Array | null])[] = [
    ["register-16-missing", "no register 16", null],
    ["register-16-zero", "never extended", zero],
    [
      "register-16-of-other-models",
      "extended with the digest of other models",
      await modelsRegister(other),
    ],
    [
      "register-16-of-the-keyset",
      "extended with another digest of the binding",
      await modelsRegister(keysetDigest),
    ],
    [
      "register-16-extended-twice",
      "extended twice with the models digest",
      await sha384(honest, modelsDigest),
    ],
    [
      "register-16-extended-with-another-first",
      "extended with other models, then with these",
      await sha384(await modelsRegister(other), modelsDigest),
    ],
    [
      "register-16-without-the-zeros",
      "SHA-384 of the models digest alone",
      await sha384(new Uint8Array(), modelsDigest),
    ],
    [
      "register-16-of-the-list",
      "extended with the ModelSet instead of its digest",
      await sha384(zero, epoch.parts.models),
    ],
    ["register-16-last-bit", "right but for its last bit", honest.with(47, (honest[47] ?? 0) ^ 1)],
  ];
  const withRegisters = async (pcrs: EpochOptions["pcrs"] & object): Promise<Input> =>
    bundleInput((await epochWith({ pcrs })).bundle);
  return [
    ...(await Promise.all(
      rows.map(async ([name, what, value]) =>
        refused(
          "register",
          "binding/register",
          name,
          what,
          "PROTOCOL 4",
          await withRegisters(new Map([[16, value]])),
        ),
      ),
    )),
    refused(
      "register",
      "binding/register",
      "register-17-instead",
      "the models in register 17, register 16 zero",
      "PROTOCOL 4",
      await withRegisters(
        new Map([
          [16, zero],
          [17, honest],
        ]),
      ),
    ),
    accepted(
      "registers-17-to-31-extended",
      "other registers that the application extended",
      "PROTOCOL 4",
      await withRegisters(new Map(Array.from({ length: 15 }, (_, i) => [17 + i, random(48)]))),
    ),
  ];
}

/** An honest list, and policies that want other models. */
export async function modelPolicies(epoch: FakeEpoch): Promise<readonly Case[]> {
  const input = bundleInput(epoch.bundle);
  const listed = (...models: readonly ModelRef[]): Circumstances => ({
    policy: (file) => {
      file.models = models.map(({ id, digest }) => ({ id, digest: encodeHex(digest) }));
    },
  });
  const any = (file: PolicyFile): void => {
    file.models = "any";
  };
  const untrusted = (name: string, what: string, judged: Input, rest: Circumstances): Case =>
    refused("models", "policy/model", name, what, "PROTOCOL 9", judged, rest);
  const noModels = bundleInput((await epochWith({ models: [] })).bundle);
  const sketch = { ...SKETCH, digest: DIGITS.digest };
  return [
    untrusted(
      "models-none-listed",
      "no served model is the policy's",
      input,
      listed({ ...SKETCH, id: "letters" }),
    ),
    untrusted(
      "models-listed-id-other-digest",
      "the policy's id with another digest",
      input,
      listed({ ...DIGITS, digest: random(32) }),
    ),
    untrusted(
      "models-listed-digest-other-id",
      "the policy's digest under another id",
      bundleInput((await epochWith({ models: [sketch] })).bundle),
      listed(DIGITS),
    ),
    untrusted(
      "models-listed-id-in-capitals",
      "the policy's id in capitals",
      input,
      listed({ ...DIGITS, id: "DIGITS" }),
    ),
    untrusted("models-none-served", "an enclave without models", noModels, {}),
    accepted(
      "models-none-served-any-allowed",
      "an enclave without models, under a policy that allows any",
      "PROTOCOL 9",
      noModels,
      { policy: any, skipped: ["models"] },
    ),
    accepted(
      "models-one-of-three-listed",
      "one served model is the policy's, two are not",
      "PROTOCOL 9",
      input,
      listed(NEWER_DIGITS),
    ),
    accepted("models-any", "the policy allows any model, in words", "PROTOCOL 9", input, {
      policy: any,
      skipped: ["models"],
    }),
    refused(
      "models",
      "policy/revoked",
      "models-one-revoked",
      "a revoked model beside two that are allowed",
      "PROTOCOL 9",
      input,
      revoking("models", SKETCH.digest),
    ),
    refused(
      "models",
      "policy/revoked",
      "models-one-revoked-any-allowed",
      "a revoked model, where any is allowed",
      "PROTOCOL 9",
      input,
      {
        policy: (file) => {
          any(file);
          file.revoked["models"] = [encodeHex(SKETCH.digest)];
        },
      },
    ),
    accepted(
      "models-another-revoked",
      "the policy revokes a model that is not served",
      "PROTOCOL 9",
      input,
      revoking("models", random(32)),
    ),
  ];
}
