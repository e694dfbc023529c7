/** Certificates: what we read in one, what node:crypto does, and what OpenSSL's command line prints. */
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AttestationError, equalBytes } from "@countersign/attestation";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEY_USAGE, parseCertificate } from "../../attestation/certificate.ts";
import { randomFrom } from "../fakes/fuzz.ts";
import { CERTIFICATE_RULES, ISSUER_RULES } from "./certificate-rules.ts";
import { mutateDer } from "./der-mutants.ts";
import {
  chainsOf,
  type ChainSubject,
  corpusDocuments,
  genuineDocuments,
  ownDocuments,
} from "./documents.ts";
import { ACCEPTS, Ledger, type Opinion, refuses } from "./ledger.ts";
import { noOpenssl, opensslVersion, printCertificates } from "./openssl.ts";
import {
  differingFact,
  type Facts,
  nodeFacts,
  ourFacts,
  ourRoles,
  printedRoles,
} from "./x509-facts.ts";

const SEED = 0x509;
/** COUNTERSIGN_FUZZ=full for very many. */
const TEN_MINUTES = 600_000;
const MUTANTS = process.env["COUNTERSIGN_FUZZ"] === "full" ? 100_000 : 4000;

const NODE = `node:crypto, OpenSSL ${process.versions.openssl}`;
const folder = mkdtempSync(join(tmpdir(), "countersign-certificates-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Named {
  readonly name: string;
  readonly der: Uint8Array;
}

const NONE: Named = { name: "none", der: new Uint8Array() };

interface Link {
  readonly name: string;
  readonly issuer: Uint8Array;
  readonly der: Uint8Array;
}

async function allChains(): Promise<readonly ChainSubject[]> {
  return chainsOf([...(await ownDocuments()), ...genuineDocuments(), ...corpusDocuments()]);
}

/** Every different certificate of every chain. */
function certificatesOf(chains: readonly ChainSubject[]): readonly Named[] {
  const found = new Map<string, Named>();
  for (const { name, chain } of chains) {
    for (const [index, der] of chain.entries()) {
      const key = keyOf(der);
      if (!found.has(key)) found.set(key, { name: `${name}, certificate ${index}`, der });
    }
  }
  return [...found.values()];
}

function keyOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

interface Reading {
  readonly opinion: Opinion;
  readonly facts: Facts;
}

async function ourReading(der: Uint8Array): Promise<Reading> {
  try {
    return { opinion: ACCEPTS, facts: await ourFacts(der) };
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { opinion: refuses(error.message), facts: {} };
  }
}

function nodeReading(der: Uint8Array): Reading {
  try {
    return { opinion: ACCEPTS, facts: nodeFacts(der) };
  } catch (error) {
    return { opinion: refuses(error instanceof Error ? error.message : "no error"), facts: {} };
  }
}

/** @returns whether we accept it. */
async function enter(ledger: Ledger, { name, der }: Named): Promise<boolean> {
  const [ours, theirs] = [await ourReading(der), nodeReading(der)];
  const both = ours.opinion.accepts && theirs.opinion.accepts;
  const other = both ? differingFact(ours.facts, theirs.facts) : null;
  ledger.enter(name, ours.opinion, theirs.opinion, other);
  return ours.opinion.accepts;
}

/** Links whose two certificates we can read, each once. */
function linksOf(chains: readonly ChainSubject[], readable: ReadonlySet<string>): readonly Link[] {
  const found = new Map<string, Link>();
  for (const { name, chain } of chains) {
    for (const [index, der] of chain.entries()) {
      const issuer = chain[index - 1];
      if (issuer === undefined || !readable.has(keyOf(der)) || !readable.has(keyOf(issuer)))
        continue;
      const key = keyOf(issuer) + keyOf(der);
      if (!found.has(key)) found.set(key, { name: `${name}, link ${index}`, issuer, der });
    }
  }
  return [...found.values()];
}

function ourLink({ issuer, der }: Link): Opinion {
  const above = parseCertificate(issuer);
  if (!equalBytes(parseCertificate(der).issuer, above.subject)) return refuses("other name");
  // As X509_check_issued has it, which does not ask whether it is an authority.
  const maySign = (above.constraints.keyUsage & KEY_USAGE.keyCertSign) !== 0;
  return maySign ? ACCEPTS : refuses("may not sign");
}

function nodeLink({ issuer, der }: Link): Opinion {
  const issued = new X509Certificate(der).checkIssued(new X509Certificate(issuer));
  return issued ? ACCEPTS : refuses("not issued");
}

describe("certificates", () => {
  const ledger = new Ledger(NODE, CERTIFICATE_RULES);
  /** Those that we accept: of the chains, and mutants of them. */
  const accepted: Named[] = [];
  const acceptedMutants: Named[] = [];
  let chains: readonly ChainSubject[] = [];

  beforeAll(async () => {
    chains = await allChains();
    for (const certificate of certificatesOf(chains)) {
      if (await enter(ledger, certificate)) accepted.push(certificate);
    }
    const random = randomFrom(SEED);
    for (let index = 0; index < MUTANTS; index++) {
      const { name, der } = accepted[index % accepted.length] ?? NONE;
      const mutant = { name: `mutant ${index} of ${name}`, der: mutateDer(random, der) };
      if (await enter(ledger, mutant)) acceptedMutants.push(mutant);
    }
  }, TEN_MINUTES);

  it("say the same to us and to node:crypto, or the difference is explained", () => {
    expectExplained(ledger);
    expect(accepted.length).toBeGreaterThan(100);
    expect(acceptedMutants.length).toBeGreaterThan(MUTANTS / 50);
    expect(ledger.agreed.refused).toBeGreaterThan(MUTANTS / 4);
  });

  it.skipIf(noOpenssl())(
    "have the role for us that OpenSSL prints",
    { timeout: TEN_MINUTES },
    async () => {
      const roles = new Ledger(`${opensslVersion() ?? ""}, storeutl`, []);
      const subjects = [...accepted, ...acceptedMutants];
      const texts = await printCertificates(
        folder,
        subjects.map(({ der }) => der),
      );
      for (const [index, { name, der }] of subjects.entries()) {
        const other = differingFact(ourRoles(der), printedRoles(texts[index] ?? ""));
        roles.enter(name, ACCEPTS, ACCEPTS, other);
      }
      expectExplained(roles);
      expect(roles.agreed.accepted).toBe(subjects.length);
    },
  );

  it("are issued by whom node:crypto says, or the difference is explained", () => {
    const issuers = new Ledger(`${NODE}, checkIssued`, ISSUER_RULES);
    const links = linksOf(chains, new Set(accepted.map(({ der }) => keyOf(der))));
    for (const link of links) issuers.enter(link.name, ourLink(link), nodeLink(link));
    expectExplained(issuers);
    expect(issuers.agreed.accepted).toBeGreaterThan(links.length / 2);
  });
});

function expectExplained(ledger: Ledger): void {
  console.log(ledger.report());
  expect(ledger.unexplained).toEqual([]);
  expect(ledger.stale).toEqual([]);
}
