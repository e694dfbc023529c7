/** What a command says of an image: for a person, and as JSON. */
import { encodeHex } from "@countersign/attestation";
import type { MeasuredImage } from "@countersign/image";

import type { Call } from "./command.ts";
import { jsonLine } from "./terminal.ts";

/** Registers as a policy lists them: names and hexadecimal digits. */
export function measurementOf({
  pcr0,
  pcr1,
  pcr2,
  pcr8,
}: Pick<MeasuredImage, "pcr0" | "pcr1" | "pcr2" | "pcr8">): Readonly<Record<string, string>> {
  const image = { pcr0: encodeHex(pcr0), pcr1: encodeHex(pcr1), pcr2: encodeHex(pcr2) };
  return pcr8 === null ? image : { ...image, pcr8: encodeHex(pcr8) };
}

/** Prints the registers; not with --quiet: size, digest and who signed. */
export function reportImage({ terminal, json, quiet }: Call, image: MeasuredImage): void {
  const { file, bytes, architecture, sha256, signature } = image;
  const measurement = measurementOf(image);
  if (json) {
    const validity = signature === null ? null : certificateTimes(signature);
    terminal.print(
      jsonLine({
        image: file,
        architecture,
        bytes,
        sha256: encodeHex(sha256),
        measurement,
        signingCertificate: validity,
      }),
    );
    return;
  }
  for (const [name, value] of Object.entries(measurement)) terminal.print(`${name}  ${value}`);
  if (quiet) return;
  const { paint } = terminal;
  terminal.print(paint.dim(`${architecture}, ${bytes} bytes, sha256 ${encodeHex(sha256)}`));
  if (signature === null) return;
  const { notBefore, notAfter } = certificateTimes(signature);
  terminal.print(paint.dim(`signed; its certificate is valid from ${notBefore} to ${notAfter}`));
}

function certificateTimes({
  notBeforeMs,
  notAfterMs,
}: NonNullable<MeasuredImage["signature"]>): Readonly<Record<"notBefore" | "notAfter", string>> {
  return {
    notBefore: new Date(notBeforeMs).toISOString(),
    notAfter: new Date(notAfterMs).toISOString(),
  };
}
