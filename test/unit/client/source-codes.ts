import { readFileSync } from "node:fs";

const ERRORS = new URL("../../../attestation/errors.ts", import.meta.url);

/** Every `AttestationErrorCode`, in the order in which the source declares them. */
export function attestationErrorCodes(): readonly string[] {
  const source = readFileSync(ERRORS, "utf8");
  const union = /^export type AttestationErrorCode =(?<codes>[^;]*);/mu.exec(source)?.groups;
  const codes = union?.["codes"]?.replaceAll(/\/\/.*$/gmu, "") ?? "";
  return [...codes.matchAll(/"([^"]+)"/gu)].map(([, code = ""]) => code);
}
