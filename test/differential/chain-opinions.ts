/** What we and OpenSSL each say of the certificate chain of a document, and of nothing else in it. */
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AttestationError, encodeHex, equalBytes, verifyEvidence } from "@countersign/attestation";
import type { ChainSubject } from "./documents.ts";
import { ACCEPTS, type Opinion, refuses } from "./ledger.ts";
import { type ChainQuestion, type Objection, verifyChains } from "./openssl.ts";

/** Codes that say that the chain is refused; with any other one it was not, or not looked at. */
const OF_THE_CHAIN = /^(?:certificate|chain)\/|^evidence\/module-id$/u;

/** @param subject - whose document can be parsed. */
export async function ourOpinion(subject: ChainSubject): Promise<Opinion> {
  const { document, anchors, atMs } = subject;
  const roots = anchors.map((der) => new Uint8Array(createHash("sha256").update(der).digest()));
  try {
    await verifyEvidence(document, { roots }, atMs);
    return ACCEPTS;
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    // The chain comes before the document's own signature.
    if (error.code === "cose/signature") return ACCEPTS;
    if (OF_THE_CHAIN.test(error.code)) return refuses(error.message);
    throw error;
  }
}

/**
 * The subject's name with what is unusual about it, as node:crypto sees it, for rules to go by:
 * `not a path` where a certificate is not by the one before it, `at its last second` where one of
 * them is.
 */
export function describedName({ name, chain, atMs }: ChainSubject): string {
  const certificates = chain.map(readOrNull);
  const path = certificates.every((certificate, index) => {
    const issuer = certificates[Math.max(0, index - 1)] ?? null;
    return certificate !== null && issuer !== null && certificate.checkIssued(issuer);
  });
  const second = Math.floor(atMs / 1000);
  const last = certificates.some(
    (certificate) => (certificate?.validToDate.getTime() ?? 0) === second * 1000,
  );
  return name + (path ? "" : ", not a path") + (last ? ", at its last second" : "");
}

function readOrNull(der: Uint8Array): X509Certificate | null {
  try {
    return new X509Certificate(der);
  } catch {
    // What OpenSSL cannot read is no part of a path.
    return null;
  }
}

/**
 * X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER and …_SUBJECT_…: set aside, or chains that OpenSSL
 * accepts but for them could not be told from chains that it accepts for nothing.
 */
const KEY_IDENTIFIERS: ReadonlySet<number> = new Set([85, 86]);

/** Processes at a time. */
const SIDE_BY_SIDE = 4;

export interface OpensslOpinion {
  readonly opinion: Opinion;
  /** What it objects to but for this would be its opinion: a missing key identifier. */
  readonly setAside: boolean;
}

/** What the subjects of one question have in common. */
interface Group {
  readonly question: Omit<ChainQuestion, "leaves">;
  /** By leaf, in hexadecimal. */
  readonly leaves: Map<string, Uint8Array>;
}

/**
 * Asks OpenSSL about all subjects, each different question once.
 *
 * @param folder - one that is there, for files that are removed again.
 */
export async function opensslOpinions(
  folder: string,
  subjects: readonly ChainSubject[],
): Promise<(subject: ChainSubject) => OpensslOpinion> {
  const groups = new Map<string, Group>();
  for (const subject of subjects) {
    const question = questionOf(subject);
    const key = keyOf(question);
    const group = groups.get(key) ?? { question, leaves: new Map<string, Uint8Array>() };
    groups.set(key, group);
    group.leaves.set(encodeHex(leafOf(subject)), leafOf(subject));
  }
  const opinions = new Map<string, OpensslOpinion>();
  const waiting = [...groups];
  const ask = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [key, { question, leaves }] = next;
      const own = mkdtempSync(join(folder, "chain-"));
      const answers = await verifyChains(own, { ...question, leaves: [...leaves.values()] });
      [...leaves.keys()].forEach((leaf, index) => {
        opinions.set(`${key} ${leaf}`, opinionOf(answers[index] ?? []));
      });
      rmSync(own, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, ask));
  return (subject) => {
    const opinion = opinions.get(`${keyOf(questionOf(subject))} ${encodeHex(leafOf(subject))}`);
    if (opinion === undefined) throw new TypeError(`${subject.name} was not asked about`);
    return opinion;
  };
}

function leafOf({ chain }: ChainSubject): Uint8Array {
  return chain[chain.length - 1] ?? new Uint8Array();
}

function questionOf({ chain, anchors, atMs }: ChainSubject): Omit<ChainQuestion, "leaves"> {
  const [first = new Uint8Array()] = chain;
  // Of several anchors of one name, OpenSSL takes any; ours is the one that comes first.
  const pinned = anchors.filter((anchor) => equalBytes(anchor, first));
  return { anchors: pinned.length > 0 ? pinned : anchors, bundle: chain.slice(0, -1), atMs };
}

function keyOf({ anchors, bundle, atMs }: Omit<ChainQuestion, "leaves">): string {
  const hash = createHash("sha256").update(`${anchors.length} ${Math.floor(atMs / 1000)} `);
  for (const der of [...anchors, ...bundle]) hash.update(`${der.length} `).update(der);
  return hash.digest("hex");
}

function opinionOf(objections: readonly Objection[]): OpensslOpinion {
  const counted = objections.filter(({ error }) => !KEY_IDENTIFIERS.has(error));
  const opinion = counted.length === 0 ? ACCEPTS : refuses(counted.map(words).join("; "));
  return { opinion, setAside: counted.length < objections.length };
}

/** `<error> at <depth>: <text>`. */
function words({ error, depth, text }: Objection): string {
  return `${error} at ${depth}: ${text}`;
}
