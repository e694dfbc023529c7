/** Requests signed by the SDK's own signer, whatever is in them. */
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";

export interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | null;
}

export interface Signing {
  readonly by: SigningKey;
  readonly atMs: number;
  readonly body: string | Uint8Array;
  readonly region?: string;
  readonly service?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Headers of `POST /`, with the signature; names in lower case. */
export async function signHeaders(signing: Signing): Promise<ReadonlyMap<string, string>> {
  const { accessKeyId, secretAccessKey, sessionToken } = signing.by;
  const token = typeof sessionToken === "string" ? { sessionToken } : {};
  const credentials = { accessKeyId, secretAccessKey, ...token };
  const { region = "dev-local-1", service = "kms" } = signing;
  const signer = new SignatureV4({ credentials, region, service, sha256: Sha256 });
  const request = {
    method: "POST",
    protocol: "https:",
    hostname: "localhost",
    path: "/",
    headers: {
      host: "localhost:8443",
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "TrentService.DescribeKey",
      ...signing.headers,
    },
    body: signing.body,
  };
  const { headers } = await signer.sign(request, { signingDate: new Date(signing.atMs) });
  return new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

type Source = string | ArrayBuffer | ArrayBufferView;

/** SHA-256, or its HMAC, as the signer wants them. */
class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: Source) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }

  update(part: Source): void {
    this.#hash.update(bytesOf(part));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    throw new TypeError("the signer makes a new one");
  }
}

function bytesOf(source: Source): Uint8Array {
  if (typeof source === "string") return Buffer.from(source);
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}
