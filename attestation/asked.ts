/** Which model a request asks for: by its path in KServe's API, by its body in OpenAI's. PROTOCOL.md §7. */
import { decodeUtf8, joinBytes } from "./bytes.ts";

/** A model as a request names it. */
export interface AskedModel {
  readonly id: string;
  /** Null where the request leaves the version to the enclave. */
  readonly version: string | null;
}

/** The paths of OpenAI's API whose bodies name a model. */
const BODY_PATHS: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
]);
/** RFC 3986 §2.3. */
const UNRESERVED = /[A-Za-z0-9._~-]/u;
/** A body in a proof comes from a stranger, and reading JSON takes many times its length. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** RFC 8259 §8.1: a reader may ignore it. */
const BYTE_ORDER_MARK = "\ufeff";

/**
 * The model that a request asks for, or null where it asks for none.
 *
 * @param path - with its query. @param content - the content chunks of the request, in order.
 */
export function askedModel(path: string, content: readonly Uint8Array[]): AskedModel | null {
  const plain = normalized(path);
  const [bare = ""] = plain.split("?", 1);
  return BODY_PATHS.has(bare) ? modelOfBody(content) : modelOfPath(plain);
}

/** The model that a path of the KServe API runs, or null where the path names none. */
export function modelOfPath(path: string): AskedModel | null {
  const match = /^\/v2\/models\/([^/?]+)(?:\/versions\/([^/?]+))?\/infer(?:\?|$)/u.exec(path);
  if (match?.[1] === undefined) return null;
  return { id: decoded(match[1]), version: match[2] === undefined ? null : decoded(match[2]) };
}

/** `id`, or `id@version`: what follows the last `@` is a version where it is a number. */
function modelOfName(name: string): AskedModel {
  const match = /^(.+)@([0-9]+)$/su.exec(name);
  const [, id, version] = match ?? [];
  if (id === undefined || version === undefined) return { id: name, version: null };
  return { id, version };
}

/** Of a body that is no JSON object with a model in it, null: the enclave refuses it. */
function modelOfBody(content: readonly Uint8Array[]): AskedModel | null {
  const length = content.reduce((sum, chunk) => sum + chunk.length, 0);
  if (length > MAX_BODY_BYTES) return null;
  let body: unknown;
  try {
    const text = decodeUtf8(joinBytes(content));
    body = JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  } catch {
    return null;
  }
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, "model")) return null;
  const model: unknown = Reflect.get(body, "model");
  return typeof model === "string" ? modelOfName(model) : null;
}

/** RFC 3986 §6.2.2.2: `%63` is `c`, to the enclave as well. What has a meaning of its own stays as it is. */
function normalized(path: string): string {
  return path.replaceAll(/%[0-9A-Fa-f]{2}/gu, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return UNRESERVED.test(character) ? character : escape;
  });
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // Not percent-encoding: nothing has this name, and the enclave will say so.
    return segment;
  }
}
