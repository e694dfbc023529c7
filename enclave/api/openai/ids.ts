import { randomBytes } from "node:crypto";

/** 128 bits: no two answers of any enclave have the same. */
const ID_BYTES = 16;

/** An id as OpenAI's answers have them, random so that it tells nothing. */
export function newId(kind: "chatcmpl" | "cmpl" | "call"): string {
  const mark = kind === "call" ? "_" : "-";
  return `${kind}${mark}${randomBytes(ID_BYTES).toString("hex")}`;
}
