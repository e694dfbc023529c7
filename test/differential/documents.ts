/** The attestation documents that oracles are asked about: genuine ones, the corpus, our own. */
import {
  AttestationError,
  AWS_NITRO_ROOT,
  encodeCbor,
  equalBytes,
  parseBundle,
  parsePolicy,
  parseProof,
  parseEvidence,
  type Policy,
} from "@countersign/attestation";
import { readCorpus } from "../corpus/files.ts";
import type { Vector } from "../corpus/vector.ts";
import { documentFields, FAKE_NOW_MS, signDocument, signerAt } from "../fakes/nitro.ts";
import { listVectors, missing, readVector } from "../shared.ts";
import { makeChains } from "./broken-chains.ts";

/** A document, and what it is to be judged by. */
export interface Subject {
  readonly name: string;
  readonly document: Uint8Array;
  /** The certificates that are trusted, DER. */
  readonly anchors: readonly Uint8Array[];
  readonly atMs: number;
}

/** A subject with the certificates that its document carries. */
export interface ChainSubject extends Subject {
  /** Root first, leaf last. */
  readonly chain: readonly Uint8Array[];
}

/** AWS's documents at their own time and around it, and signed ones of QEMU's device. */
export function genuineDocuments(): readonly Subject[] {
  if (missing("nitro") || missing("qemu-nsm")) return [];
  const aws = files("nitro", /\.cbor$/u).flatMap(([file, document]): Subject[] => {
    const subject = { name: file, document, anchors: [AWS_NITRO_ROOT.der] };
    return timesOf(document).map(([when, atMs]) => ({
      ...subject,
      name: `${file} ${when}`,
      atMs,
    }));
  });
  const own = files("qemu-nsm", /^signed-test-ca-root\.der$/u).map(([, der]) => der);
  const emulated = files("qemu-nsm", /^signed-test-ca-doc-.*(?<!\.json)$/u).map(
    ([name, document]): Subject => ({
      name,
      document,
      anchors: own,
      atMs: timestampOf(document) ?? 0,
    }),
  );
  return [...aws, ...emulated];
}

const SECOND_MS = 1000;
const HOURS_3_MS = 10_800_000;

/** When to judge a document: a leaf lives three hours from about its time stamp. */
function timesOf(document: Uint8Array): readonly (readonly [string, number])[] {
  const timestampMs = timestampOf(document);
  if (timestampMs === null) return [["at no time", FAKE_NOW_MS]];
  return [
    ["at its time", timestampMs],
    ["half a second later", timestampMs + SECOND_MS / 2],
    ["a day earlier", timestampMs - 8 * HOURS_3_MS],
    ["a day later", timestampMs + 8 * HOURS_3_MS],
  ];
}

function timestampOf(document: Uint8Array): number | null {
  try {
    return parseEvidence(document).timestampMs;
  } catch (error) {
    if (error instanceof AttestationError) return null;
    throw error;
  }
}

function files(group: string, wanted: RegExp): readonly (readonly [string, Uint8Array])[] {
  return listVectors(group)
    .filter((file) => wanted.test(file))
    .map((file) => [file, readVector(`${group}/${file}`)]);
}

/** Every document of the corpus, by its name without its number, under the roots of its vector's policy. */
export function corpusDocuments(): readonly Subject[] {
  return readCorpus().flatMap((vector) => {
    try {
      const subject = ofVector(vector);
      return subject === null ? [] : [subject];
    } catch (error) {
      // A bundle or a proof that is none holds no document.
      if (error instanceof AttestationError) return [];
      throw error;
    }
  });
}

function ofVector({ id, expected, files: content }: Vector): Subject | null {
  const policyFile = content.get(expected.policy ?? "");
  if (policyFile === undefined) return null;
  const policy = parsePolicy(new TextDecoder().decode(policyFile));
  const file = (name: string): Uint8Array => content.get(name) ?? new Uint8Array();
  const live = expected.mode === "live";
  const timed = (document: Uint8Array): Omit<Subject, "anchors"> => ({
    name: id.replace(/\/\d+-/u, "/"),
    document,
    atMs: live ? expected.nowMs : (timestampOf(document) ?? expected.nowMs),
  });
  switch (expected.subject) {
    case "document":
      // A bare document is of the platform that pins its root, whichever that is.
      return { ...timed(file("document.cbor")), anchors: anchorsOf(policy, null) };
    case "bundle":
    case "exchange":
      return ofBundle(file("bundle.cbor"), policy, timed);
    case "proof":
      return ofBundle(parseProof(file("proof.cbor")).bundle, policy, timed);
    case "policy":
    case "inclusion":
    case "consistency":
      return null;
    default:
      return expected.subject satisfies never;
  }
}

function ofBundle(
  bytes: Uint8Array,
  policy: Policy,
  timed: (document: Uint8Array) => Omit<Subject, "anchors">,
): Subject {
  const { platform, evidence } = parseBundle(bytes);
  return { ...timed(evidence), anchors: anchorsOf(policy, platform) };
}

/** The certificates whose digests the policy pins, for one platform or for all. */
function anchorsOf({ platforms }: Policy, platform: string | null): readonly Uint8Array[] {
  return [...platforms]
    .filter(([name]) => platform === null || name === platform)
    .flatMap(([, { roots, rootCertificates }]) => [
      ...rootCertificates,
      ...(roots.some((root) => equalBytes(root, AWS_NITRO_ROOT.sha256))
        ? [AWS_NITRO_ROOT.der]
        : []),
    ]);
}

/** A document over each of our own chains. */
export async function ownDocuments(): Promise<readonly Subject[]> {
  const subjects: Subject[] = [];
  for (const { name, chain, anchor } of await makeChains()) {
    const signer = await signerAt(chain.length - 1);
    const document = await signDocument(encodeCbor(documentFields(chain)), signer);
    subjects.push({ name, document, anchors: [anchor], atMs: FAKE_NOW_MS });
  }
  return subjects;
}

/** Those whose document can be parsed: the others hold no chain that we would look at. */
export function chainsOf(subjects: readonly Subject[]): readonly ChainSubject[] {
  return subjects.flatMap((subject) => {
    try {
      const { cabundle, certificate } = parseEvidence(subject.document);
      return [{ ...subject, chain: [...cabundle, certificate] }];
    } catch (error) {
      if (error instanceof AttestationError) return [];
      throw error;
    }
  });
}
