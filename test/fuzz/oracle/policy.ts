/** What must hold of a policy file that the verifier took: it was read as it is written. */
import { readFileSync } from "node:fs";
import type { Policy } from "@countersign/attestation";
import { type Schema, satisfies } from "../../fakes/json-schema.ts";
import { Breach, requireHeld } from "../target.ts";
import { hexOf } from "./x509.ts";

const FILE = new URL("../../../attestation/policy.schema.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the project's own schema
const SCHEMA = JSON.parse(readFileSync(FILE, "utf8")) as Schema;
const STRING = /"(?:[^"\\]|\\.)*"(?<colon>\s*:)?/gu;

/** By the engine's own JSON and the published schema. @throws {@link Breach}. */
export function requirePolicy(policy: Policy, text: string): void {
  const file = parsed(text);
  requireHeld(satisfies(file, SCHEMA, SCHEMA), "took what the published schema refuses");
  // A string before a colon is a key. Where more are written than were kept, one was there twice.
  const keys = [...text.matchAll(STRING)].filter(({ groups }) => groups?.["colon"] !== undefined);
  requireHeld(keys.length === countKeys(file), "took a file with a member twice");
  // What may be left out means its default.
  const whole = isObject(file) ? { padding: "optional", ...file } : file;
  const [said, kept] = [canonical(whole), canonical(fileOf(policy))];
  requireHeld(said === kept, `kept another policy than the file says:\n${said}\n${kept}`);
}

/** The file that says what `policy` does. */
function fileOf(policy: Policy): unknown {
  const { expiresMs, platforms, models, freshness, suites, padding, revoked } = policy;
  return {
    version: 1,
    expires: new Date(expiresMs).toISOString(),
    platforms: Object.fromEntries(
      [...platforms].map(([name, { roots, rootCertificates, measurements, debug }]) => {
        const listed =
          measurements === "unchecked"
            ? measurements
            : measurements.map((allowed) => ({
                name: allowed.name,
                ...Object.fromEntries(
                  [...allowed.registers].map(([index, value]) => [`pcr${index}`, hexOf(value)]),
                ),
              }));
        const certificates = rootCertificates.map(hexOf);
        return [name, { roots: roots.map(hexOf), certificates, measurements: listed, debug }];
      }),
    ),
    models:
      models === "any" ? models : models.map(({ id, digest }) => ({ id, digest: hexOf(digest) })),
    freshness,
    suites,
    padding,
    revoked: {
      measurements: revoked.measurements.map(hexOf),
      models: revoked.models.map(hexOf),
      keysets: revoked.keysets.map(hexOf),
    },
  };
}

/** One text for one meaning: keys sorted, hexadecimal in lower case, times alike, PEM opened. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => {
    if (key === "expires") return Date.parse(String(part));
    if (typeof part === "string") {
      return /^(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{96})$/u.test(part) ? part.toLowerCase() : part;
    }
    if (!isObject(part)) return part;
    const { rootCertificates, ...members } = part;
    const listed = Array.isArray(rootCertificates) ? rootCertificates.map(derOf) : null;
    const whole = "roots" in part ? { certificates: listed ?? [], ...members } : members;
    return Object.fromEntries(Object.entries(whole).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function derOf(pem: unknown): string {
  const base64 = String(pem).replaceAll(/-----[A-Z ]+-----|\s/gu, "");
  return Buffer.from(base64, "base64").toString("hex");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Breach(`took what is no JSON: ${String(error)}`);
  }
}

function countKeys(value: unknown): number {
  const below = (parts: readonly unknown[]): number =>
    parts.reduce((sum: number, part) => sum + countKeys(part), 0);
  if (Array.isArray(value)) return below(value);
  return isObject(value) ? Object.keys(value).length + below(Object.values(value)) : 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
