/** Judges one vector with a build of the library: the sources in Node, the bundle in a page. */
import type * as attestation from "@countersign/attestation";
import type {
  ConsistencyFile,
  ExchangeFile,
  Expected,
  InclusionFile,
  Outcome,
  Vector,
} from "./vector.ts";

/** The public face of `attestation/`, however it was loaded. */
export type Library = typeof attestation;
type Policy = ReturnType<Library["parsePolicy"]>;
type Verdict = ReturnType<Library["incompleteVerdict"]>;

export interface Judgement {
  readonly outcome: Outcome;
  /** The whole verdict; null for a subject that has none. */
  readonly verdict: Verdict | null;
}

/** @throws whatever is no refusal: a crash is never an outcome. */
export async function judge(library: Library, vector: Vector): Promise<Judgement> {
  const { expected } = vector;
  switch (expected.subject) {
    case "policy":
      return refusalOf(library, async () => {
        await library.requireKnownRoots(library.parsePolicy(text(vector, "policy.json")));
      });
    case "inclusion":
      return refusalOf(library, () => verifyInclusion(library, json(vector, "inclusion.json")));
    case "consistency":
      return refusalOf(library, () => verifyConsistency(library, json(vector, "consistency.json")));
    case "document":
    case "bundle":
    case "exchange":
    case "proof": {
      const policy = library.parsePolicy(text(vector, requirePolicy(expected)));
      return ofVerdict(await appraise(library, vector, policy));
    }
    default:
      return expected.subject satisfies never;
  }
}

async function appraise(library: Library, vector: Vector, policy: Policy): Promise<Verdict> {
  const { subject, mode, nowMs, nonce } = vector.expected;
  const context = { mode, nowMs, nonce: nonce === null ? null : bytesOf(library, nonce) };
  if (subject === "document") {
    const document = file(vector, "document.cbor");
    return (await library.appraiseDocument(document, policy, context)).verdict;
  }
  if (subject === "proof") {
    const proof = file(vector, "proof.cbor");
    return (await library.appraiseProof(proof, policy, { nowMs }, library.webHashes)).verdict;
  }
  const bundle = file(vector, "bundle.cbor");
  const { verdict, epoch } = await library.appraiseBundle(bundle, policy, context);
  if (subject === "bundle" || epoch === null) return verdict;
  const held: ExchangeFile = json(vector, "exchange.json");
  const request = await transcript(library, held.kc, "request", held.request);
  const response = await transcript(library, held.kc, "response", held.response);
  return library.appraiseExchange(epoch, {
    receipt: held.receipt === null ? null : bytesOf(library, held.receipt),
    phase: "final",
    previous: held.previous === undefined ? null : bytesOf(library, held.previous),
    exchange: held.exchange === null ? null : bytesOf(library, held.exchange),
    requestHead: (leaves) => request.head(leaves),
    requestLeaves: request.leaves,
    responseHead: () => response.head(),
    responseLeaves: response.leaves,
    status: held.status,
    complete: held.complete,
    asked: held.asked,
    nowMs,
  });
}

async function transcript(
  library: Library,
  kc: string,
  direction: "request" | "response",
  leaves: readonly string[],
): Promise<InstanceType<Library["Transcript"]>> {
  const { webHashes } = library;
  const whole = new library.Transcript(webHashes, bytesOf(library, kc), direction);
  for (const leaf of leaves) await whole.append(bytesOf(library, leaf));
  return whole;
}

function verifyInclusion(library: Library, given: InclusionFile): Promise<void> {
  const { index, size } = given;
  return library.verifyInclusion(library.webHashes, {
    index,
    size,
    leafHash: bytesOf(library, given.leafHash),
    path: given.path.map((node) => bytesOf(library, node)),
    root: bytesOf(library, given.root),
  });
}

function verifyConsistency(library: Library, given: ConsistencyFile): Promise<void> {
  const { firstSize, secondSize } = given;
  return library.verifyConsistency(library.webHashes, {
    firstSize,
    secondSize,
    firstRoot: bytesOf(library, given.firstRoot),
    secondRoot: bytesOf(library, given.secondRoot),
    path: given.path.map((node) => bytesOf(library, node)),
  });
}

const ACCEPTED: Outcome = {
  result: "verified",
  code: null,
  check: null,
  failure: null,
  skipped: [],
  pointer: null,
};

/** What comes of a function that makes no verdict. */
async function refusalOf(library: Library, run: () => Promise<void>): Promise<Judgement> {
  try {
    await run();
    return { outcome: ACCEPTED, verdict: null };
  } catch (error) {
    if (!(error instanceof library.AttestationError)) throw error;
    const { code, message } = error;
    const pointer = /^policy\/syntax: (?<pointer>\/\S*):/u.exec(message)?.groups?.["pointer"];
    const outcome = { ...ACCEPTED, result: "rejected", code, pointer: pointer ?? null } as const;
    return { outcome, verdict: null };
  }
}

function ofVerdict(verdict: Verdict): Judgement {
  const { result, failure, checks } = verdict;
  if (result === "incomplete") throw new TypeError("appraisal ended before its last check");
  const failed = checks.find(({ status }) => status === "fail");
  const skipped = checks.filter(
    ({ status, found }) => status === "skip" && found !== "not reached",
  );
  const outcome = {
    result,
    code: failed?.code ?? null,
    check: failed?.id ?? null,
    failure,
    skipped: skipped.map(({ id }) => id),
    pointer: null,
  };
  return { outcome, verdict };
}

function requirePolicy({ policy }: Expected): string {
  if (policy === null) throw new TypeError("a vector without the policy that judges it");
  return policy;
}

function file({ id, files }: Vector, name: string): Uint8Array {
  const bytes = files.get(name);
  if (bytes === undefined) throw new TypeError(`vector ${id} has no ${name}`);
  return bytes;
}

function text(vector: Vector, name: string): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file(vector, name));
}

/** Each caller names the shape it reads; the corpus is ours. */
function json<T>(vector: Vector, name: string): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own vectors, of fixed shape
  return JSON.parse(text(vector, name)) as T;
}

function bytesOf(library: Library, hex: string): Uint8Array {
  const bytes = library.decodeHex(hex);
  if (bytes === null) throw new TypeError(`not hexadecimal: ${hex}`);
  return bytes;
}
