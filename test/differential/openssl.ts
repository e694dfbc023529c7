/** OpenSSL's command line, asked as an oracle about certificate chains. */
import { execFile, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificatePem } from "../fakes/x509.ts";

/** Nothing of this machine's configuration, and English. */
const ENVIRONMENT = { PATH: process.env["PATH"] ?? "", LC_ALL: "C", OPENSSL_CONF: "/dev/null" };
const TIMEOUT_MS = 10_000;

/** "OpenSSL 3.0.19 …", or null where there is no such command. */
export function opensslVersion(): string | null {
  const { status, stdout } = spawnSync("openssl", ["version"], {
    env: ENVIRONMENT,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  return status === 0 ? (stdout.split("(")[0] ?? "").trim() : null;
}

/** For `skipIf`: whether there is no OpenSSL 3; says so when there is none. */
export function noOpenssl(): boolean {
  const version = opensslVersion();
  const absent = version === null || !version.startsWith("OpenSSL 3.");
  if (absent) console.warn(`skipped: want the command of OpenSSL 3, found ${version ?? "none"}`);
  return absent;
}

/** One thing that `openssl verify` objects to. */
export interface Objection {
  /** X509_V_ERR_…, by number: see `man openssl-verify`. */
  readonly error: number;
  /** 0 is the leaf. */
  readonly depth: number;
  readonly text: string;
}

/** Several leaves that came with the same certificates. */
export interface ChainQuestion {
  /** Trust anchors, DER; nothing else is trusted. */
  readonly anchors: readonly Uint8Array[];
  readonly leaves: readonly Uint8Array[];
  /** What came with the leaves, in any order, DER. */
  readonly bundle: readonly Uint8Array[];
  readonly atMs: number;
}

/**
 * How the question is put. The oracle is as strict as it can be made:
 * `-x509_strict`: RFC 5280's rules for issuers, without work-arounds;
 * `-suiteB_192`: P-384 and ecdsa-with-SHA384 all the way, version 3;
 * `-check_ss_sig`: the root's own signature too;
 * `-policy_check`: RFC 5280 §6.1's policy tree, which nothing of AWS's needs;
 * `-verify_depth 6`: six certificates between root and leaf, which makes eight;
 * `-purpose any`: whatever the leaf is for; key usage of authorities is judged all the same.
 */
const STRICT = ["-x509_strict", "-suiteB_192", "-check_ss_sig", "-policy_check"] as const;
const LIMITS = ["-verify_depth", "6", "-purpose", "any", "-no-CApath", "-no-CAstore"] as const;

/** In place of an error number, where OpenSSL cannot read the leaf or the anchors. */
const UNREADABLE = -1;

/**
 * Asks `openssl verify`, which goes on after most objections, so that there may be several.
 *
 * @param folder - of this question alone.
 * @returns for each leaf what it objects to: nothing where it accepts.
 * @throws Error for an answer of unknown form: an oracle that did not run is no oracle.
 */
export async function verifyChains(
  folder: string,
  { anchors, bundle, leaves, atMs }: ChainQuestion,
): Promise<readonly (readonly Objection[])[]> {
  const files = leaves.map((leaf, index) => pemFile(folder, `leaf-${index}`, [leaf]));
  const trusted = ["-CAfile", pemFile(folder, "anchors", anchors)];
  // With the anchors again: of a file without one that it can read, the command makes an error.
  const given = ["-untrusted", pemFile(folder, "bundle", [...bundle, ...anchors])];
  // X.509 counts in seconds; a time within one has not reached the next.
  const time = ["-attime", String(Math.floor(atMs / 1000))];
  const args = ["verify", ...STRICT, ...LIMITS, ...time, ...trusted, ...given];
  const { status, stdout, stderr } = await run([...args, ...files]);
  if (/^Error loading file .*anchors\.pem$/mu.test(stderr)) {
    return leaves.map(() => [unreadable("the anchors")]);
  }
  const answers = parseAnswers(stdout, stderr);
  return leaves.map((_, index) => {
    const objections = answers.get(index);
    const known = objections !== undefined && (status === 0 ? objections.length === 0 : true);
    if (!known) throw new Error(`openssl verify answered ${status}: ${stdout}${stderr}`);
    return objections;
  });
}

/** By leaf; one of which nothing is said is not there. */
function parseAnswers(stdout: string, stderr: string): ReadonlyMap<number, readonly Objection[]> {
  const answers = new Map<number, readonly Objection[]>();
  for (const [, index] of stdout.matchAll(/leaf-(\d+)\.pem: OK$/gmu))
    answers.set(Number(index), []);
  let objections: Objection[] = [];
  for (const line of stderr.split("\n")) {
    const objection = /^error (\d+) at (\d+) depth lookup: (.*)$/u.exec(line);
    if (objection !== null) {
      const [, error, depth, text = ""] = objection;
      objections.push({ error: Number(error), depth: Number(depth), text });
    }
    const failed = /^error .*leaf-(\d+)\.pem: verification failed$/u.exec(line);
    if (failed !== null && objections.length > 0) {
      answers.set(Number(failed[1]), objections);
      objections = [];
    }
    const unread = /^Could not (?:read|find) certificate.* from .*leaf-(\d+)\.pem$/u.exec(line);
    if (unread !== null) answers.set(Number(unread[1]), [unreadable("the leaf")]);
  }
  return answers;
}

function unreadable(what: string): Objection {
  return { error: UNREADABLE, depth: 0, text: `cannot read ${what}` };
}

/**
 * What OpenSSL prints of certificates, one text each (`openssl storeutl -text`).
 *
 * @throws Error unless it can read all of them.
 */
export async function printCertificates(
  folder: string,
  ders: readonly Uint8Array[],
): Promise<readonly string[]> {
  const file = pemFile(folder, "certificates", ders);
  const { status, stdout, stderr } = await run(["storeutl", "-noout", "-text", "-certs", file]);
  const texts = stdout.split(/^\d+: Certificate$/mu).slice(1);
  if (status !== 0 || texts.length !== ders.length) {
    throw new Error(`openssl storeutl read ${texts.length} of ${ders.length}: ${stderr}`);
  }
  return texts;
}

function pemFile(folder: string, name: string, ders: readonly Uint8Array[]): string {
  const path = join(folder, `${name}.pem`);
  writeFileSync(path, ders.map(certificatePem).join(""));
  return path;
}

interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[]): Promise<Answer> {
  const options = { env: ENVIRONMENT, timeout: TIMEOUT_MS, maxBuffer: 64 << 20 };
  return new Promise((resolve) => {
    const child = execFile("openssl", args, options, (_error, stdout, stderr) => {
      resolve({ status: child.exitCode, stdout, stderr });
    });
  });
}
