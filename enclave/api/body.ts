import { EnclaveError } from "../errors.ts";

/** The header that says where the JSON ends and binary tensors begin (KServe binary data extension). */
export const JSON_LENGTH_HEADER = "inference-header-content-length";

/** A request body: its JSON part, and the bytes of its binary tensors. */
export interface InferBody {
  readonly json: Uint8Array<ArrayBuffer>;
  /** Empty where the request has no such header. */
  readonly binary: Uint8Array<ArrayBuffer>;
}

/** The largest element: aligned to it, no tensor behind the JSON needs a copy. */
const ALIGNMENT = 8;

/**
 * Reads a request body into one buffer of its own, whose binary part starts aligned.
 *
 * @throws {@link EnclaveError} `request/too-large`, `request/binary`.
 */
export async function readBody(request: Request, maxBytes: number): Promise<InferBody> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const jsonHeader = request.headers.get(JSON_LENGTH_HEADER);
  const chunks: Uint8Array[] = [];
  let length = 0;
  if (request.body !== null) {
    const stream: AsyncIterable<Uint8Array> = request.body;
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
  }
  const jsonLength = jsonHeader === null ? length : parseJsonLength(jsonHeader, length);
  const padding = (ALIGNMENT - (jsonLength % ALIGNMENT)) % ALIGNMENT;
  const bytes = new Uint8Array(padding + length);
  let offset = padding;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return {
    json: bytes.subarray(padding, padding + jsonLength),
    binary: bytes.subarray(padding + jsonLength),
  };
}

function parseJsonLength(text: string, length: number): number {
  const jsonLength = /^[0-9]{1,10}$/u.test(text) ? Number(text) : -1;
  if (jsonLength < 0 || jsonLength > length) {
    throw new EnclaveError(
      "request/binary",
      `${JSON_LENGTH_HEADER} beyond a body of ${length} bytes`,
    );
  }
  return jsonLength;
}

function tooLarge(maxBytes: number): EnclaveError {
  return new EnclaveError("request/too-large", `a body of more than ${maxBytes} bytes`);
}
