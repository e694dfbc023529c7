/** Signing keys and certificates for the tests, made by OpenSSL. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { newPath } from "./eif-files.ts";

export interface Pems {
  readonly key: string;
  readonly certificate: string;
}

/** A key and its own certificate, valid from now. */
export function selfSigned(curve = "secp384r1", days = 30): Pems {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: curve });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const [keyFile, certificateFile] = [newPath(".key"), newPath(".pem")];
  writeFileSync(keyFile, key);
  const request = ["req", "-new", "-x509", "-sha384", "-key", keyFile, "-subj", "/CN=image test"];
  execFileSync("openssl", [...request, "-days", String(days), "-out", certificateFile]);
  return { key, certificate: readFileSync(certificateFile, "utf8") };
}
