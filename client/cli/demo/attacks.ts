import { setTimeout as sleep } from "node:timers/promises";

import { encodeBundle, parseBundle, type Policy } from "@countersign/attestation";
import { BUNDLE_PATH, GATEWAY_PATH, MEDIA_RESPONSE } from "@countersign/protocol";

import { ClientError, VerdictError } from "@countersign/client";
import { connectNode } from "../connecting.ts";
import { printable } from "../terminal.ts";
import { HASTY_EPOCH_SECONDS, type Lab, MODEL } from "./lab.ts";
import {
  type Behaviour,
  forward,
  type RelayAnswer,
  type RelayRequest,
  startRelay,
} from "./relay.ts";

/** One way in which a host can lie. */
export interface Attack {
  readonly name: string;
  /** What the host does, in the past tense. */
  readonly did: string;
  mount(lab: Lab): Promise<AttackResult>;
}

/** What came of an attack. */
export interface AttackResult {
  readonly caught: boolean;
  /** Who noticed: a check of the verdict, or the enclave. */
  readonly by: string;
  readonly found: string;
}

/** Longer than the epochs of the lab's hasty node, which are accepted for twice their length. */
const WAIT_MS = 2 * HASTY_EPOCH_SECONDS * 1000 + 2000;
/** The response nonce in front of the first chunk. */
const RESPONSE_NONCE_BYTES = 32;
const REPLAY_STATUS = 409;

/** In the order in which they are shown. */
export const ATTACKS: readonly Attack[] = [
  {
    name: "swap-model",
    did: `sent the client to a genuine enclave that serves "${MODEL}" with one bit of its weights changed`,
    mount: (lab) => ask(lab, lab.policy, async (request) => await forward(lab.swapped, request)),
  },
  {
    name: "alter-answer",
    did: "flipped one bit of the encrypted answer",
    mount: (lab) => ask(lab, lab.policy, onAnswer(lab, flipMiddleBit)),
  },
  {
    name: "replay-request",
    did: "recorded an encrypted request and sent it to the enclave a second time",
    mount: replayRequest,
  },
  {
    name: "cut-answer",
    did: "ended the encrypted answer, in good order, before its last chunk",
    mount: (lab) => ask(lab, lab.policy, onAnswer(lab, cutBeforeFinalChunk)),
  },
  {
    name: "other-key",
    did: "put the encryption key of another enclave into the bundle",
    mount: presentOtherKey,
  },
  {
    name: "debug-enclave",
    did: "ran the right code and models in an enclave in debug mode, whose memory it can read",
    mount: (lab) => ask(lab, lab.policy, async (request) => await forward(lab.debug, request)),
  },
  {
    name: "old-bundle",
    did: `served yesterday's bundle: epochs of ${HASTY_EPOCH_SECONDS} s instead of an hour, a bundle recorded ${WAIT_MS / 1000} s ago`,
    mount: serveOldBundle,
  },
];

/** Makes one private request through a relay that behaves so; it must not succeed. */
async function ask(lab: Lab, policy: Policy, behaviour: Behaviour): Promise<AttackResult> {
  const relay = await startRelay(behaviour);
  try {
    await infer(relay.url, policy, lab.body);
    return { caught: false, by: "nobody", found: "the client took the answer for a verified one" };
  } catch (error) {
    return resultOf(error);
  } finally {
    await relay.close();
  }
}

async function infer(url: string, policy: Policy, body: string): Promise<void> {
  const node = await connectNode(url, policy);
  const headers = { "content-type": "application/json" };
  const response = await node.fetch(`/v2/models/${MODEL}/infer`, { method: "POST", headers, body });
  await response.json();
}

/** Only a verdict counts as caught: a broken relay must not look like a good client. */
function resultOf(error: unknown): AttackResult {
  if (error instanceof VerdictError) {
    const failed = error.verdict.checks.find((check) => check.status === "fail");
    const { failure } = error.verdict;
    if (failed === undefined) return { caught: false, by: "nobody", found: error.message };
    const by = `check "${failed.id}"`;
    const found = `${failure ?? "rejected"}: ${printable(failed.found)}`;
    return { caught: true, by, found };
  }
  if (error instanceof ClientError) {
    return { caught: false, by: "nobody", found: printable(error.message) };
  }
  throw error;
}

/** Honest but for the answer to an encrypted request, which `change` makes another. */
function onAnswer(lab: Lab, change: (body: Uint8Array) => Uint8Array): Behaviour {
  return async (request) => {
    const answer = await forward(lab.honest, request);
    if (request.path !== GATEWAY_PATH || answer.mediaType !== MEDIA_RESPONSE) return answer;
    return { ...answer, body: change(answer.body) };
  };
}

function flipMiddleBit(body: Uint8Array): Uint8Array {
  const changed = body.slice();
  const at = Math.floor(changed.length / 2);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

/** A relay sees where chunks begin: their lengths are in the clear, and that of the last is 0. */
function cutBeforeFinalChunk(body: Uint8Array): Uint8Array {
  let offset = RESPONSE_NONCE_BYTES;
  for (;;) {
    const first = body[offset] ?? 0;
    if (first === 0) return body.slice(0, offset);
    // RFC 9000 §16: the two high bits say how many bytes the length takes.
    const bytes = 1 << (first >> 6);
    let length = first & 0x3f;
    for (const byte of body.subarray(offset + 1, offset + bytes)) length = length * 256 + byte;
    offset += bytes + length;
  }
}

/** The enclave is the one to notice: what a client sent once is answered once. */
async function replayRequest(lab: Lab): Promise<AttackResult> {
  let recorded: RelayRequest | null = null;
  const relay = await startRelay(async (request) => {
    if (request.path === GATEWAY_PATH) recorded = request;
    return await forward(lab.honest, request);
  });
  try {
    await infer(relay.url, lab.policy, lab.body);
  } finally {
    await relay.close();
  }
  if (recorded === null) throw new TypeError("the relay saw no request");
  const second = await forward(lab.honest, recorded);
  const found = `it answered ${second.status} and ran nothing`;
  if (second.status === REPLAY_STATUS) return { caught: true, by: "the enclave", found };
  return { caught: false, by: "nobody", found: `the enclave answered ${second.status}` };
}

async function presentOtherKey(lab: Lab): Promise<AttackResult> {
  const other = parseBundle((await forward(lab.swapped, bundleRequest())).body);
  return await ask(lab, lab.policy, async (request) => {
    const answer = await forward(lab.honest, request);
    if (request.path !== BUNDLE_PATH) return answer;
    const body = encodeBundle({ ...parseBundle(answer.body), keyset: other.keyset });
    return { ...answer, body };
  });
}

async function serveOldBundle(lab: Lab): Promise<AttackResult> {
  const { freshness } = lab.policy;
  if (freshness === "unchecked") throw new TypeError("the lab's policy asks for fresh documents");
  // Both clocks are this machine's, so none may be off.
  const policy = { ...lab.policy, freshness: { ...freshness, skewSeconds: 0 } };
  const recorded: RelayAnswer = await forward(lab.hasty, bundleRequest());
  await sleep(WAIT_MS);
  // The same client takes the bundle of today.
  await infer(lab.hasty, policy, lab.body);
  return await ask(lab, policy, async (request) =>
    request.path === BUNDLE_PATH ? recorded : await forward(lab.hasty, request),
  );
}

function bundleRequest(): RelayRequest {
  return { method: "GET", path: BUNDLE_PATH, mediaType: "", body: new Uint8Array(0) };
}
