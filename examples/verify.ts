/** Judges one attestation document: `npx node examples/verify.ts DOCUMENT POLICY [live|archive]`. */
import { readFile } from "node:fs/promises";
import { appraiseDocument, parsePolicy } from "@countersign/attestation";

const [documentPath = "", policyPath = "", mode = "live"] = process.argv.slice(2);
// "live" judges the document now, to rely on it; "archive" at its own time, as a record.
if (policyPath === "" || (mode !== "live" && mode !== "archive")) {
  throw new TypeError("usage: node examples/verify.ts DOCUMENT POLICY [live|archive]");
}

const policy = parsePolicy(await readFile(policyPath, "utf8"));
const bytes = await readFile(documentPath);
const { verdict } = await appraiseDocument(bytes, policy, {
  mode,
  nowMs: Date.now(),
  // Whoever sent the enclave a challenge puts it here.
  nonce: null,
});

for (const { status, id, found, wanted, fix } of verdict.checks) {
  const words = status === "fail" ? `${found}; want ${wanted}. ${fix}` : found;
  process.stdout.write(`${status}  ${id.padEnd(12)}${words}\n`);
}
process.stdout.write(`${verdict.result}\n`);
process.exitCode = verdict.result === "verified" ? 0 : 1;
