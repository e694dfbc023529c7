/**
 * What the page of corpus.test.ts runs. It holds the judge, and loads the library as it is shipped.
 *
 * Each function is called by its name, with arguments and a result that are JSON.
 */
import { encodeHex } from "@countersign/attestation";
import type * as client from "@countersign/client";
import {
  importRecipientKey,
  KEM_MLKEM768_X25519,
  openRequest,
  parseKeyConfig,
  type Primitives,
  sealRequest,
} from "@countersign/protocol";
import { nobleMlKem768 } from "@countersign/protocol/fallback";
import { webPrimitives } from "@countersign/protocol/web";
import type { Library } from "../corpus/judge.ts";
import { bytesOf, type PortableVector } from "./portable.ts";
import {
  type Answer,
  importAll,
  judgeAll,
  type PointQuestion,
  type SignatureGroup,
  verifyAll,
} from "./questions.ts";

/** ML-KEM-768 as the client picks it, or in JavaScript whatever the browser has. */
export type MlKem = "picked" | "fallback";

/** Names that a bundle exports. */
export async function exportsOf(bundle: "client" | "verifier" | "proofs"): Promise<string[]> {
  return Object.keys(await load<object>(bundle)).toSorted();
}

/** Judges what the server has at /corpus.json: evidence by the small bundle, the rest by the large. */
export async function judgeCorpus(): Promise<readonly Answer[]> {
  const verifier = await load<Library>("verifier");
  const proofs = await load<Library>("proofs");
  const response = await fetch("/corpus.json");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test wrote it
  const vectors = (await response.json()) as readonly PortableVector[];
  return await judgeAll(vectors, ({ expected: { subject } }) =>
    subject === "document" || subject === "bundle" || subject === "policy" ? verifier : proofs,
  );
}

export async function importPoints(points: readonly PointQuestion[]): Promise<readonly string[]> {
  return await importAll(await load<Library>("proofs"), points);
}

export async function verifySignatures(
  groups: readonly SignatureGroup[],
): Promise<readonly number[]> {
  return await verifyAll(await load<Library>("proofs"), groups);
}

/** Encrypts `plaintext` to `keyConfig`, sends it to /mirror and opens the answer. All hexadecimal. */
export async function askMirror(
  mlkem: MlKem,
  keyConfig: string,
  plaintext: string,
): Promise<string> {
  const config = parseKeyConfig(bytesOf(keyConfig));
  const sealed = await sealRequest(primitives(mlkem), config, [bytesOf(plaintext)]);
  const body = await joined(sealed.body);
  const response = await fetch("/mirror", { method: "POST", body: body.slice() });
  const answer = new Uint8Array(await response.arrayBuffer());
  return encodeHex(await joined(sealed.openResponse(once(answer))));
}

/** Opens a request to the key of `seed`, and encrypts what it says in answer. All hexadecimal. */
export async function mirror(mlkem: MlKem, seed: string, request: string): Promise<string> {
  const p = primitives(mlkem);
  const key = await importRecipientKey(p, KEM_MLKEM768_X25519, bytesOf(seed));
  const opened = await openRequest(p, () => key, once(bytesOf(request)));
  const plaintext = await joined(opened.plaintext);
  const sealer = await opened.sealResponse();
  return encodeHex(new Uint8Array([...sealer.head, ...(await sealer.finish(plaintext))]));
}

export interface Asked {
  readonly status: number;
  readonly text: string;
  readonly result: string;
  /** Hexadecimal. */
  readonly proof: string;
}

/** One private request to the node that this page comes from, by the client as it is shipped. */
export async function ask(mlkem: MlKem, policyText: string, nowMs: number): Promise<Asked> {
  // The client then finds none, as in a browser that is older. The page is not used again.
  if (mlkem === "fallback") Reflect.deleteProperty(SubtleCrypto.prototype, "encapsulateBits");
  const { connect } = await load<typeof client>("client");
  const { parsePolicy } = await load<Library>("verifier");
  const policy = parsePolicy(policyText);
  const node = await connect(location.origin, { policy, now: () => nowMs });
  const response = await node.fetch("/v2/models/digits/infer", { method: "POST", body: "{}" });
  const proof = encodeHex(await response.proof());
  const { result } = await response.verdict();
  return { status: response.status, text: await response.text(), result, proof };
}

/** What {@link ask} is refused with. */
export async function askInVain(policyText: string, nowMs: number): Promise<string> {
  return await ask("picked", policyText, nowMs).then(
    () => "answered",
    (error: unknown) => String(error),
  );
}

async function load<T>(bundle: "client" | "verifier" | "proofs"): Promise<T> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each caller names what it built
  return (await import(`/${bundle}/${bundle}.js`)) as T;
}

function primitives(mlkem: MlKem): Primitives {
  const picked = webPrimitives({ mlkem768: nobleMlKem768 });
  return mlkem === "picked" ? picked : { ...picked, mlkem768: nobleMlKem768 };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: number[] = [];
  for await (const piece of pieces) all.push(...piece);
  return new Uint8Array(all);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}
