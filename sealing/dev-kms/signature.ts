/**
 * AWS Signature Version 4 of a request, as a service judges it.
 *
 * AWS IAM User Guide, "Create a signed AWS API request". KMS is served at `POST /` without a query,
 * so that the canonical request has nothing else to say of them.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

import { encodeUtf8 } from "@countersign/attestation";

import { KmsFailure } from "./failure.ts";
import { REGION, SERVICE } from "./names.ts";

/** What proves who asks. */
export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Temporary credentials have one. */
  readonly sessionToken: string | null;
}

export interface Principal {
  readonly arn: string;
  readonly key: AccessKey;
}

export interface SignedRequest {
  /** By lower-case name, every value that was sent. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Uint8Array;
}

/** How far a client's clock may be off. */
const MAX_SKEW_MS = 5 * 60_000;

const ALGORITHM = "AWS4-HMAC-SHA256";
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=(?<id>[A-Z0-9]{1,128})\/(?<day>\d{8})\/(?<region>[a-z0-9-]{1,64})\/(?<service>[a-z0-9-]{1,64})\/aws4_request, ?SignedHeaders=(?<names>[a-z0-9;-]{1,2048}), ?Signature=(?<signature>[0-9a-f]{64})$/u;
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/u;
const ALWAYS_SIGNED = ["host", "x-amz-date"] as const;

interface Authorization {
  readonly accessKeyId: string;
  readonly day: string;
  readonly region: string;
  readonly service: string;
  /** Of the headers that were signed, sorted. */
  readonly names: readonly string[];
  readonly signature: Uint8Array;
}

/**
 * Who signed `request`.
 *
 * @throws KmsFailure `MissingAuthenticationTokenException`, `IncompleteSignatureException`,
 * `InvalidSignatureException`, `UnrecognizedClientException`.
 */
export function verifySignature(
  request: SignedRequest,
  principals: readonly Principal[],
  nowMs: number,
): Principal {
  const authorization = parseAuthorization(request);
  const date = singleHeader(request, "x-amz-date");
  requireScope(authorization, date);
  requireFresh(date, nowMs);
  const principal = principals.find(({ key }) => key.accessKeyId === authorization.accessKeyId);
  if (principal === undefined) throw unknownClient();
  requireToken(request, principal);
  const wanted = signatureOf(request, authorization, date, principal.key.secretAccessKey);
  if (!timingSafeEqual(wanted, authorization.signature)) {
    throw refused(
      "The request signature we calculated does not match the signature you provided. Check your " +
        "AWS Secret Access Key and signing method.",
    );
  }
  return principal;
}

function parseAuthorization(request: SignedRequest): Authorization {
  if (!request.headers.has("authorization")) {
    throw new KmsFailure("MissingAuthenticationTokenException", "Missing Authentication Token");
  }
  const groups = AUTHORIZATION.exec(singleHeader(request, "authorization"))?.groups;
  if (groups === undefined) throw incomplete(`want ${ALGORITHM} with its three parts`);
  const part = (name: string): string => groups[name] ?? "";
  const names = part("names").split(";");
  requireSignedHeaders(request, names);
  return {
    accessKeyId: part("id"),
    day: part("day"),
    region: part("region"),
    service: part("service"),
    names,
    signature: Buffer.from(part("signature"), "hex"),
  };
}

/** A header that is not signed could be another's: what says what is asked has to be. */
function requireSignedHeaders({ headers }: SignedRequest, names: readonly string[]): void {
  const sorted = [...new Set(names)].toSorted();
  if (sorted.length !== names.length || sorted.some((name, i) => name !== names[i])) {
    throw incomplete("SignedHeaders are not sorted, or one is there twice");
  }
  for (const name of ALWAYS_SIGNED) {
    if (!names.includes(name)) throw incomplete(`'${name}' must be a signed header`);
  }
  for (const name of headers.keys()) {
    const matters = name.startsWith("x-amz-") || name === "content-type";
    if (matters && !names.includes(name)) throw incomplete(`'${name}' must be a signed header`);
  }
}

/** AWS KMS endpoints, "Regional": a signature is for one day, one region and one service. */
function requireScope({ day, region, service }: Authorization, date: string): void {
  if (region !== REGION) {
    throw refused(`Credential should be scoped to a valid region, want '${REGION}'.`);
  }
  if (service !== SERVICE) {
    throw refused(`Credential should be scoped to correct service: '${SERVICE}'.`);
  }
  if (!date.startsWith(`${day}T`)) {
    throw refused("Date in Credential scope does not match YYYYMMDD of 'x-amz-date'.");
  }
}

/** A client whose clock is wrong finds ours in the `date` header of the answer, and signs anew. */
function requireFresh(date: string, nowMs: number): void {
  const signedMs = Date.parse(date.replace(DATE, "$1-$2-$3T$4:$5:$6Z"));
  if (!DATE.test(date) || Number.isNaN(signedMs)) {
    throw incomplete("'x-amz-date' must be YYYYMMDD'T'HHMMSS'Z'");
  }
  const now = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/gu, "");
  if (signedMs < nowMs - MAX_SKEW_MS) {
    throw refused(`Signature expired: ${date} is more than 5 min. earlier than ${now}`);
  }
  if (signedMs > nowMs + MAX_SKEW_MS) {
    throw refused(`Signature not yet current: ${date} is more than 5 min. later than ${now}`);
  }
}

function requireToken(request: SignedRequest, { key }: Principal): void {
  const sent = request.headers.get("x-amz-security-token") ?? [];
  const [token] = sent;
  const wanted = key.sessionToken;
  if (wanted === null && sent.length === 0) return;
  if (wanted === null || token === undefined || sent.length > 1) throw unknownClient();
  if (!timingSafeEqual(sha256(encodeUtf8(token)), sha256(encodeUtf8(wanted)))) {
    throw unknownClient();
  }
}

function signatureOf(
  request: SignedRequest,
  { day, region, service, names }: Authorization,
  date: string,
  secret: string,
): Uint8Array {
  const payload = sha256(request.body).toString("hex");
  const lines = names.map((name) => `${name}:${canonicalValue(singleHeader(request, name))}\n`);
  const canonical = ["POST", "/", "", lines.join(""), names.join(";"), payload].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = [ALGORITHM, date, scope, sha256(encodeUtf8(canonical)).toString("hex")].join("\n");
  const signing = [day, region, service, "aws4_request"].reduce<Uint8Array>(
    hmac,
    encodeUtf8(`AWS4${secret}`),
  );
  return hmac(signing, text);
}

function canonicalValue(value: string): string {
  return value.trim().replaceAll(/ +/gu, " ");
}

/** One value: of two, the one that was signed need not be the one that is obeyed. */
function singleHeader({ headers }: SignedRequest, name: string): string {
  const [value, ...others] = headers.get(name) ?? [];
  if (value === undefined) throw incomplete(`the header '${name}' is missing`);
  if (others.length > 0) throw incomplete(`the header '${name}' is there twice`);
  return value;
}

function hmac(key: Uint8Array, text: string): Uint8Array {
  return createHmac("sha256", key).update(text, "utf8").digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function incomplete(message: string): KmsFailure {
  return new KmsFailure("IncompleteSignatureException", message);
}

function refused(message: string): KmsFailure {
  return new KmsFailure("InvalidSignatureException", message);
}

function unknownClient(): KmsFailure {
  const message = "The security token included in the request is invalid.";
  return new KmsFailure("UnrecognizedClientException", message);
}
