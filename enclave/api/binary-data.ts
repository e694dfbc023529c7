import { decodeUtf8, encodeUtf8 } from "@countersign/attestation/attester";
import { type Elements, type Tensor, type TensorInfo } from "../engine/datatypes.ts";
import { name } from "../engine/feeds.ts";
import { EnclaveError } from "../errors.ts";

/** Each element of a BYTES tensor comes after its length: four bytes, little-endian. */
const LENGTH_BYTES = 4;

/**
 * The elements of a tensor in KServe's binary form: little-endian, row-major, no padding.
 *
 * Numbers stay the bytes they are. BYTES elements become strings, since ONNX's are UTF-8.
 *
 * @param count - how many elements the shape has: more are not read.
 * @throws {@link EnclaveError} `input/length`, `input/value`.
 */
export function decodeBinaryData(
  info: TensorInfo,
  count: number,
  bytes: Uint8Array<ArrayBuffer>,
): Elements {
  if (info.datatype !== "BYTES") return bytes;
  const strings: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  while (offset < bytes.length) {
    const start = offset + LENGTH_BYTES;
    const end = start <= bytes.length ? start + view.getUint32(offset, true) : Infinity;
    if (end > bytes.length || strings.length === count) {
      throw new EnclaveError("input/length", `input ${name(info)} has not ${count} elements`);
    }
    strings.push(decodeString(info, bytes.subarray(start, end)));
    offset = end;
  }
  return strings;
}

/** A tensor's elements in the same form. Numbers are not copied. */
export function encodeBinaryData(tensor: Tensor): Uint8Array {
  const { elements } = tensor;
  if (elements instanceof Uint8Array) return elements;
  const parts = elements.map((text) => encodeUtf8(text));
  const length = parts.reduce((sum, part) => sum + LENGTH_BYTES + part.length, 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.length, true);
    bytes.set(part, offset + LENGTH_BYTES);
    offset += LENGTH_BYTES + part.length;
  }
  return bytes;
}

function decodeString(info: TensorInfo, bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    throw new EnclaveError("input/value", `input ${name(info)} holds an element that is no UTF-8`);
  }
}
