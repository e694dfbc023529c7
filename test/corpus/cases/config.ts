/** RuntimeConfigs that the binding names, and that are none. PROTOCOL 4. */
import {
  type AttestationErrorCode,
  type CborValue,
  concatBytes,
  encodeCbor,
  type RuntimeConfig,
} from "@countersign/attestation";
import type { Case } from "../case.ts";
import { head, map, tstr, uint } from "../cbor.ts";
import { accepted, bundleInput, type Circumstances, refused } from "../node-case.ts";
import { epochWith, random } from "../node.ts";
import { type Change, entriesOf, recode, replaced } from "../recode.ts";

const CONFIG_TAG = "countersign/config/v1";

/** What a policy that requires padding makes of what a RuntimeConfig says of it. */
export async function configPadding(): Promise<readonly Case[]> {
  const bundleWith = async (features: RuntimeConfig["features"]): Promise<Uint8Array> => {
    const config = { engine: "none", engineVersion: "0", limits: new Map<string, number>() };
    return (await epochWith({ config: { ...config, features } })).bundle;
  };
  const required: Circumstances = {
    policy: (file) => {
      file["padding"] = "required";
    },
  };
  const optional: Circumstances = {
    policy: (file) => {
      file["padding"] = "optional";
    },
  };
  const rows: readonly (readonly [name: string, what: string, feature: string | boolean | null])[] =
    [
      ["none", "no padding, where the policy requires it", "none"],
      ["true", "padding that is true, which is no way to pad", true],
      ["in-capitals", "padding in another spelling", "Buckets"],
      ["unsaid", "nothing said of padding", null],
    ];
  const plain = bundleInput(await bundleWith(new Map([["padding", "none"]])));
  const padded = bundleInput(await bundleWith(new Map([["padding", "buckets"]])));
  const clause = "PROTOCOL 9";
  return [
    accepted("padding-required", "padding, where it is required", clause, padded, required),
    accepted("padding-optional", "none, where it is optional", clause, plain, optional),
    ...(await Promise.all(
      rows.map(async ([name, what, feature]) => {
        const features = new Map(feature === null ? [] : [["padding", feature] as const]);
        const input = bundleInput(await bundleWith(features));
        const code = "policy/padding";
        return refused("config", code, `config-padding-${name}`, what, clause, input, required);
      }),
    )),
  ];
}

export async function configStructures(): Promise<readonly Case[]> {
  const honest = encodeCbor(
    new Map<number, CborValue>([
      [1, CONFIG_TAG],
      [2, "onnxruntime"],
      [3, "1.30.0"],
      [4, new Map([["maxRequestBytes", 1]])],
      [5, new Map<string, CborValue>([["padding", true]])],
    ]),
  );
  const entries = (count: number): ReadonlyMap<string, number> =>
    new Map(Array.from({ length: count }, (_, i) => [`e${i}`, i]));
  const changes: readonly (readonly [name: string, what: string, change: Change])[] = [
    ...[1, 2, 3, 4, 5].map(
      (key) => [`config-without-${key}`, `key ${key} is missing`, [key, undefined]] as const,
    ),
    ["config-with-6", "an unknown key", [6, 0]],
    ["config-v2", "the tag of another version", [1, "countersign/config/v2"]],
    ["config-engine-with-space", "an engine whose name has a space", [2, "onnx runtime"]],
    ["config-engine-version-of-integer", "an engine version as an integer", [3, 1]],
    ["config-limits-of-array", "an array for limits", [4, []]],
    ["config-limit-negative", "a negative limit", [4, new Map([["a", -1]])]],
    ["config-limit-of-54-bits", "a limit of 2^53", [4, new Map([["a", 2n ** 53n]])]],
    ["config-limit-of-text", "a limit as text", [4, new Map([["a", "1"]])]],
    ["config-limit-boolean", "a limit that is true", [4, new Map([["a", true]])]],
    ["config-limit-without-name", "a limit under a number", [4, new Map([[1, 1]])]],
    ["config-with-257-limits", "one limit more than may be", [4, entries(257)]],
    ["config-feature-null", "null for a feature", [5, new Map([["a", null]])]],
    ["config-feature-negative", "a negative feature", [5, new Map([["a", -1]])]],
    ["config-feature-of-bytes", "a feature of bytes", [5, new Map([["a", random(4)]])]],
    [
      "config-feature-of-257",
      "a feature of 257 characters",
      [5, new Map([["a", "x".repeat(257)]])],
    ],
    ["config-feature-with-line-end", "a feature with a line end", [5, new Map([["a", "x\ny"]])]],
    ["config-with-257-features", "one feature more than may be", [5, entries(257)]],
  ];
  const twice = map(
    replaced(entriesOf(honest), 4, concatBytes(head(5, 2), tstr("a"), uint(1), tstr("a"), uint(2))),
  );
  const unsorted = map(
    replaced(entriesOf(honest), 4, concatBytes(head(5, 2), tstr("b"), uint(1), tstr("a"), uint(2))),
  );
  const float = map(
    replaced(
      entriesOf(honest),
      4,
      concatBytes(head(5, 1), tstr("a"), Uint8Array.of(0xf9, 0x3c, 0)),
    ),
  );
  const wrong = async (
    code: AttestationErrorCode,
    name: string,
    what: string,
    config: Uint8Array,
    clause: string,
  ): Promise<Case> => {
    const { bundle } = await epochWith({ preimages: { config } });
    return refused("config", code, name, what, clause, bundleInput(bundle));
  };
  return Promise.all([
    ...changes.map(([name, what, change]) =>
      wrong("config/structure", name, what, recode(honest, change), "PROTOCOL 4"),
    ),
    wrong(
      "cbor/duplicate-key",
      "config-limit-twice",
      "one limit twice, with two values",
      twice,
      "PROTOCOL 2",
    ),
    wrong(
      "cbor/key-order",
      "config-limits-unsorted",
      "limits not in order",
      unsorted,
      "PROTOCOL 2",
    ),
    wrong("cbor/unsupported", "config-limit-float", "a limit as a float", float, "PROTOCOL 2"),
  ]);
}
