/** Honest bundles, and policies that refuse them: expiry, image, freshness, archives. PROTOCOL 9. */
import {
  type AttestationErrorCode,
  type CheckId,
  concatBytes,
  encodeHex,
} from "@countersign/attestation";
import type { FakeEpoch, PolicyFile } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { accepted, bundleInput, type Circumstances, type Input, refused } from "../node-case.ts";
import { EXPIRES_MS, MAX_AGE_MS, measurement, simulated, SKEW_MS } from "../node-policies.ts";
import { challenge, enclave, epochWith, NOT_AFTER, NOW_MS, random, SECOND_MS } from "../node.ts";

const DAY_MS = 86_400_000;

/** Policies that fail or switch a check off, judged through an honest bundle. */
export function bundlePolicies({ bundle }: FakeEpoch): readonly Case[] {
  const input = bundleInput(bundle);
  const expired = (name: string, what: string, rest: Circumstances): Case =>
    refused("policy", "policy/expired", name, what, "PROTOCOL 9", input, rest);
  const expires =
    (text: string) =>
    (file: PolicyFile): void => {
      file.expires = text;
    };
  const atNow = new Date(NOW_MS).toISOString();
  const later = new Date(NOW_MS + 1).toISOString();
  return [
    expired("policy-expired", "the policy expired a year ago", {
      policy: expires("2025-11-21T12:00:00Z"),
    }),
    expired("policy-expires-now", "the policy expires at this very millisecond", {
      policy: expires(atNow),
    }),
    expired("policy-expired-in-archive", "an expired policy in archive mode", {
      mode: "archive",
      nowMs: EXPIRES_MS,
    }),
    accepted(
      "policy-expires-in-a-millisecond",
      "the policy has a millisecond left",
      "PROTOCOL 9",
      input,
      { policy: expires(later) },
    ),
    refused(
      "policy",
      "policy/syntax",
      "policy-root-without-certificate",
      "a root that nobody has a certificate for",
      "PROTOCOL 9",
      input,
      {
        policy: (file) => {
          simulated(file)["roots"] = [encodeHex(enclave().rootSha256), "ab".repeat(32)];
        },
      },
    ),
    accepted(
      "policy-switches-off-what-it-can",
      "image, models and freshness unchecked, by the policy's words",
      "PROTOCOL 9",
      input,
      {
        policy: "node-unchecked",
        skipped: ["measurement", "models", "freshness"],
      },
    ),
  ];
}

/** The image, against what the policy lists, revokes and allows. */
export async function bundleMeasurements(epoch: FakeEpoch): Promise<readonly Case[]> {
  const input = bundleInput(epoch.bundle);
  const changed = (change: Readonly<Record<string, unknown>>): Circumstances => ({
    policy: (file) => {
      simulated(file)["measurements"] = [measurement("test-build", change)];
    },
  });
  const untrusted = (name: string, what: string, rest: Circumstances): Case =>
    refused("measurement", "policy/measurement", name, what, "PROTOCOL 9", input, rest);
  const revoked = (name: string, what: string, register: number, unchecked: boolean): Case =>
    refused("measurement", "policy/revoked", name, what, "PROTOCOL 9", input, {
      policy: (file) => {
        const wanted = [
          measurement(
            "other",
            Object.fromEntries([0, 1, 2].map((i) => [`pcr${i}`, "ab".repeat(48)])),
          ),
        ];
        simulated(file)["measurements"] = unchecked ? "unchecked" : wanted;
        file.revoked["measurements"] = [
          "cd".repeat(48),
          encodeHex(epoch.pcrs.get(register) ?? random(48)),
        ];
      },
    });
  const zero = new Uint8Array(48);
  const debug = await epochWith({
    pcrs: new Map([
      [0, zero],
      [1, zero],
      [2, zero],
    ]),
  });
  const zeros = "00".repeat(48);
  const allowDebug = (file: PolicyFile): void => {
    simulated(file)["debug"] = true;
    simulated(file)["measurements"] = [
      measurement("debug", { pcr0: zeros, pcr1: zeros, pcr2: zeros }),
    ];
  };
  return [
    ...[0, 1, 2].map((index) =>
      untrusted(
        `register-${index}-of-another-build`,
        `PCR${index} is not the policy's`,
        changed({ [`pcr${index}`]: "ab".repeat(48) }),
      ),
    ),
    untrusted(
      "register-8-listed-and-other",
      "PCR8 is not what the measurement says besides",
      changed({ pcr8: "ab".repeat(48) }),
    ),
    untrusted(
      "register-20-listed-and-missing",
      "a register that the measurement names and the document lacks",
      changed({ pcr20: zeros }),
    ),
    untrusted("registers-of-two-builds", "one register of each of two measurements", {
      policy: (file) => {
        const other = { pcr0: "ab".repeat(48) };
        simulated(file)["measurements"] = [
          measurement("a", other),
          measurement("b", { pcr2: "ab".repeat(48) }),
        ];
      },
    }),
    accepted(
      "register-8-listed-and-equal",
      "a measurement that names PCR8 besides",
      "PROTOCOL 9",
      input,
      changed({ pcr8: zeros }),
    ),
    accepted(
      "measurement-second-of-two",
      "the second measurement of the policy's list",
      "PROTOCOL 9",
      input,
      {
        policy: (file) => {
          simulated(file)["measurements"] = [
            measurement("a", { pcr0: "ab".repeat(48) }),
            measurement("b"),
          ];
        },
      },
    ),
    accepted(
      "measurement-another-revoked",
      "the policy revokes another image",
      "PROTOCOL 9",
      input,
      {
        policy: (file) => {
          file.revoked["measurements"] = [encodeHex(random(48))];
        },
      },
    ),
    revoked("register-0-revoked", "an image that the policy revokes", 0, false),
    revoked(
      "register-2-revoked-though-unchecked",
      "a revoked application, where measurements are unchecked",
      2,
      true,
    ),
    refused(
      "debug",
      "policy/debug",
      "bundle-in-debug-mode",
      "PCR0 to PCR2 are zero",
      "PROTOCOL 3",
      bundleInput(debug.bundle),
    ),
    accepted(
      "bundle-in-debug-mode-allowed",
      "a debug enclave that the policy accepts in words",
      "PROTOCOL 9",
      bundleInput(debug.bundle),
      { policy: allowDebug },
    ),
  ];
}

/** Our nonce, and the age of the document. */
export async function bundleFreshness(epoch: FakeEpoch): Promise<readonly Case[]> {
  const nonce = random(32);
  const input = bundleInput(epoch.bundle);
  const answer = bundleInput(challenge(epoch, nonce).bundle);
  const answers = (bytes: Uint8Array): Input => bundleInput(challenge(epoch, bytes).bundle);
  const stale = (
    code: AttestationErrorCode,
    name: string,
    what: string,
    judged: Input,
    rest: Circumstances = {},
  ): Case => refused("freshness", code, name, what, "PROTOCOL 9", judged, rest);
  const made = async (timestampMs: number): Promise<Input> =>
    bundleInput((await epochWith({ timestampMs })).bundle);
  const ask = { nonce };
  const short: Circumstances = {
    policy: (file) => {
      file.freshness = { maxAgeSeconds: 300, skewSeconds: 60, challenge: "optional" };
    },
  };
  const required = { policy: "node-challenge" } as const;
  const unchecked = { policy: "node-unchecked", skipped: ["measurement", "models"] } as const;
  const oldest = NOW_MS - 360 * SECOND_MS;
  const future = NOW_MS + SKEW_MS;
  return [
    accepted("nonce-answered", "the document answers our nonce", "PROTOCOL 9", answer, ask),
    accepted(
      "nonce-answered-as-required",
      "the policy requires an answer, and this is one",
      "PROTOCOL 9",
      answer,
      { ...ask, ...required },
    ),
    accepted(
      "nonce-of-somebody-else",
      "a nonce that we did not send, where we sent none",
      "PROTOCOL 9",
      answer,
    ),
    accepted(
      "nonce-answered-though-unchecked",
      "our nonce, where freshness is unchecked",
      "PROTOCOL 9",
      answer,
      { ...ask, ...unchecked },
    ),
    accepted(
      "nonce-answered-in-archive",
      "our nonce, in archive mode, is judged and passes",
      "PROTOCOL 9",
      answer,
      { ...ask, mode: "archive", nowMs: NOW_MS + 30 * DAY_MS },
    ),
    stale("freshness/nonce", "nonce-absent", "no nonce in the document", input, ask),
    stale(
      "freshness/nonce",
      "nonce-other",
      "another nonce of the same length",
      answers(random(32)),
      ask,
    ),
    stale(
      "freshness/nonce",
      "nonce-cut",
      "our nonce without its last byte",
      answers(nonce.slice(0, 31)),
      ask,
    ),
    stale(
      "freshness/nonce",
      "nonce-extended",
      "our nonce and a byte more",
      answers(concatBytes(nonce, Uint8Array.of(0))),
      ask,
    ),
    stale("freshness/nonce", "nonce-empty", "a nonce of no bytes", answers(new Uint8Array()), ask),
    stale(
      "freshness/nonce",
      "nonce-last-bit",
      "our nonce but for its last bit",
      answers(nonce.with(31, (nonce[31] ?? 0) ^ 1)),
      ask,
    ),
    stale(
      "freshness/nonce",
      "nonce-other-though-unchecked",
      "another nonce, where freshness is unchecked",
      answers(random(32)),
      { ...ask, ...unchecked },
    ),
    stale(
      "freshness/nonce",
      "nonce-other-in-archive",
      "another nonce, in archive mode",
      answers(random(32)),
      { ...ask, mode: "archive" },
    ),
    stale(
      "policy/challenge",
      "challenge-not-sent",
      "the policy requires a challenge, and none was sent",
      answer,
      required,
    ),
    accepted(
      "document-at-its-greatest-age",
      "as old as maxAgeSeconds and skewSeconds allow",
      "PROTOCOL 9",
      await made(oldest),
      short,
    ),
    stale(
      "freshness/age",
      "document-a-millisecond-too-old",
      "a millisecond older than allowed",
      await made(oldest - 1),
      short,
    ),
    stale(
      "freshness/age",
      "document-too-old-with-nonce",
      "our nonce, in a document that is too old",
      bundleInput((await epochWith({ nonce, timestampMs: oldest - SECOND_MS })).bundle),
      { ...ask, ...short },
    ),
    accepted(
      "document-at-the-skew",
      "as far in the future as skewSeconds allows",
      "PROTOCOL 9",
      await made(future),
    ),
    stale(
      "freshness/future",
      "document-a-millisecond-too-early",
      "a millisecond beyond the skew",
      await made(future + 1),
    ),
    stale(
      "freshness/future",
      "document-of-the-future-in-archive",
      "a document from the future, in archive mode",
      await made(future + 1),
      { mode: "archive" },
    ),
    accepted(
      "document-old-though-unchecked",
      "an old document, where freshness is unchecked",
      "PROTOCOL 9",
      await made(NOW_MS - MAX_AGE_MS - 2 * SKEW_MS),
      {
        policy: "node-unchecked",
        skipped: ["measurement", "models", "freshness"],
      },
    ),
  ];
}

/** What is too old to be used is old by design in an archive. */
export async function bundleArchives(epoch: FakeEpoch): Promise<readonly Case[]> {
  const input = bundleInput(epoch.bundle);
  const later = { policy: "node-archive", nowMs: NOW_MS + 10 * 365 * DAY_MS } as const;
  const archive = { ...later, mode: "archive" } as const;
  const early = await epochWith({ timestampMs: NOW_MS - 200 * SECOND_MS });
  const beforeLeaf = await epochWith({ timestampMs: NOW_MS - DAY_MS });
  const skipped: readonly CheckId[] = ["freshness"];
  return [
    accepted(
      "bundle-ten-years-later",
      "ten years after its certificates expired, in archive mode",
      "PROTOCOL 9",
      input,
      { ...archive, skipped },
    ),
    refused(
      "chain",
      "chain/validity",
      "bundle-ten-years-later-live",
      "the same bundle, to be used now",
      "PROTOCOL 9",
      input,
      later,
    ),
    accepted(
      "bundle-archived-without-the-challenge",
      "a challenge is required of live bundles only",
      "PROTOCOL 9",
      input,
      { mode: "archive", policy: "node-challenge", skipped },
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "document-before-its-epoch-in-archive",
      "a document made before its epoch began",
      "PROTOCOL 9",
      bundleInput(early.bundle),
      archive,
    ),
    refused(
      "chain",
      "chain/validity",
      "document-before-its-leaf-in-archive",
      "a document dated before its leaf certificate",
      "PROTOCOL 9",
      bundleInput(beforeLeaf.bundle),
      archive,
    ),
    refused(
      "lifetime",
      "binding/lifetime",
      "bundle-after-its-epoch",
      "an epoch that is over, with a leaf that is valid",
      "PROTOCOL 4",
      input,
      { nowMs: NOT_AFTER * SECOND_MS + 1 },
    ),
  ];
}
