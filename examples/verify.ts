/** Judges one attestation document: `npx node examples/verify.ts DOCUMENT POLICY live|archive`. */
import { readFile } from "node:fs/promises";
import { appraiseDocument, parsePolicy } from "@countersign/attestation";

const [documentPath = "", policyPath = "", mode] = process.argv.slice(2);
// "live": now, to rely on it; "archive": at its own time, as a record. Nonce: your challenge, if any.
if (mode !== "live" && mode !== "archive") throw new TypeError("want DOCUMENT POLICY live|archive");
const policy = parsePolicy(await readFile(policyPath, "utf8"));
const context = { mode, nowMs: Date.now(), nonce: null } as const;
const { verdict } = await appraiseDocument(await readFile(documentPath), policy, context);
for (const { status, id, found, wanted, fix } of verdict.checks) {
  const words = status === "fail" ? `${found}; want ${wanted}. ${fix}` : found;
  process.stdout.write(`${status}  ${id.padEnd(12)}${words}\n`);
}
process.stdout.write(`${verdict.result}, ${mode}\n`);
process.exitCode = verdict.result === "verified" ? 0 : 1;
