/** Cases in which one certificate of a chain is not as it should be, or unusual. */
import type { AttestationErrorCode } from "@countersign/attestation";
import type { CertificateParts } from "../fakes/nitro.ts";
import type { Case } from "./case.ts";
import { accepted, refused } from "./document-case.ts";
import { AUTHORITY, labChain, labDocument, LEAF } from "./lab.ts";

export type Place = "leaf" | "authority";

export type CertificateRow = readonly [
  /** Null: it is accepted. */
  code: AttestationErrorCode | null,
  name: string,
  what: string,
  clause: string,
  parts: Partial<CertificateParts>,
  /** "both": two vectors, so that no certificate is read less strictly. The leaf unless said here. */
  place?: Place | "both",
];

/** A document over a chain with one changed certificate, which is signed as it is. */
export async function changedDocument(
  place: Place,
  parts: Partial<CertificateParts>,
): Promise<Uint8Array> {
  const index = place === "leaf" ? LEAF : AUTHORITY;
  return labDocument({ chain: await labChain({ changes: { [index]: parts } }) });
}

export function certificateTable(rows: readonly CertificateRow[]): Promise<readonly Case[]> {
  return Promise.all(rows.flatMap(certificateCases));
}

/** The one or two cases of a row. */
export function certificateCases(row: CertificateRow): readonly Promise<Case>[] {
  const place = row[5] ?? "leaf";
  return place === "both"
    ? [certificateCase(row, "leaf"), certificateCase(row, "authority")]
    : [certificateCase(row, place)];
}

function certificateCase(row: CertificateRow, place: Place): Promise<Case> {
  const [code, name, what, clause, parts] = row;
  const document = changedDocument(place, parts);
  const [id, words] = [`${place}-${name}`, `${place}: ${what}`];
  return code === null
    ? accepted(id, words, clause, document)
    : refused(code, id, words, clause, document);
}
