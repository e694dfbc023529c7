/**
 * A dev-kms in a folder of its own, the SDK's client of its owner and of its node, and enclaves of a
 * vendor that it believes.
 */
import {
  constants,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
} from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import {
  type DevKms,
  type DevKmsEntry,
  type DevKmsOptions,
  type DevKmsPrincipal,
  startDevKms,
} from "@countersign/sealing";
import { type Attester, createAttester, type DocumentFields, seededRandom } from "./attester.ts";

/** Keys take a while to make, and tests of a file can share one. */
const enclaveKey = generateKeyPairSync("rsa", { modulusLength: 2048 });

export interface Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

export class KmsWorld {
  readonly kms: DevKms;
  readonly folder: string;
  readonly attester: Attester;
  /** What was logged. */
  readonly entries: DevKmsEntry[];
  readonly owner: KMS;
  readonly node: KMS;
  readonly #policy: string;

  static async start(options: Partial<DevKmsOptions> = {}): Promise<KmsWorld> {
    const folder = await mkdtemp(join(tmpdir(), "countersign-dev-kms-"));
    const attester = createAttester({ random: seededRandom("dev-kms"), nowMs: Date.now() });
    const entries: DevKmsEntry[] = [];
    const kms = await startDevKms({
      directory: join(folder, "kms"),
      listen: { host: "127.0.0.1", port: 0 },
      allowRemote: false,
      attestationRoots: [attester.rootDer],
      log: (entry) => entries.push(entry),
      ...options,
    });
    const policy = await readFile(kms.keys[0].policyPath, "utf8");
    return new KmsWorld({ kms, folder, attester, entries }, policy);
  }

  private constructor(
    { kms, folder, attester, entries }: Pick<KmsWorld, "kms" | "folder" | "attester" | "entries">,
    policy: string,
  ) {
    this.kms = kms;
    this.folder = folder;
    this.attester = attester;
    this.entries = entries;
    this.#policy = policy;
    this.owner = kmsClientOf(kms, kms.owner);
    this.node = kmsClientOf(kms, kms.node);
  }

  async close(): Promise<void> {
    this.owner.destroy();
    this.node.destroy();
    await this.kms.close();
    await rm(this.folder, { recursive: true });
  }

  /** The policy of the first key as it was made. */
  async resetPolicy(): Promise<void> {
    await writeFile(this.kms.keys[0].policyPath, this.#policy);
  }

  /** Adds a statement to the policy of the first key. */
  async allow(statement: Readonly<Record<string, unknown>>): Promise<void> {
    const path = this.kms.keys[0].policyPath;
    const policy: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof policy !== "object" || policy === null || !("Statement" in policy)) {
      throw new TypeError("not a policy");
    }
    if (!Array.isArray(policy.Statement)) throw new TypeError("not a list");
    const added = { Effect: "Allow", Resource: "*", Principal: { AWS: this.kms.node.arn } };
    policy.Statement.push({ ...added, ...statement });
    await writeFile(path, JSON.stringify(policy));
  }

  /** A fresh document with an RSA key, as an enclave asks for it; `fields` replaces some. */
  document(fields: Partial<DocumentFields> = {}): Uint8Array {
    return this.attester.document({
      timestampMs: Date.now(),
      pcrs: registers(),
      publicKey: spki(enclaveKey.publicKey),
      userData: null,
      nonce: null,
      ...fields,
    });
  }

  /** A request as it is, without the SDK. */
  async raw(
    headers: Readonly<Record<string, string>>,
    body: string | Uint8Array,
    { method = "POST", path = "/" } = {},
  ): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const { kms } = this;
    const options = { method, path, headers, ca: kms.caPem, agent: false };
    const sent = request(new URL(kms.url), options, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => {
        text += part;
      });
      answer.on("error", reject);
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text });
      });
    });
    sent.on("error", reject);
    sent.end(body);
    return promise;
  }
}

/** The SDK as it is, with one attempt, so that a test sees each answer. */
export function kmsClientOf(
  { url, region, caPem }: Pick<DevKms, "url" | "region" | "caPem">,
  { credentials }: DevKmsPrincipal,
  options: { readonly maxAttempts?: number; readonly systemClockOffset?: number } = {},
): KMS {
  return new KMS({
    region,
    endpoint: url,
    // The SDK writes into what it is given.
    credentials: { ...credentials },
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: caPem }) }),
    ...options,
  });
}

/** What {@link KmsWorld.document} names. */
export const ENCLAVE_KEY: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =
  enclaveKey;

export function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

/** PCR0 to 15, as an enclave boots; all but the first three zero. */
export function registers(
  changes: ReadonlyMap<number, Uint8Array> = new Map(),
): ReadonlyMap<number, Uint8Array> {
  const pcrs = new Map<number, Uint8Array>();
  for (let i = 0; i < 16; i++) {
    pcrs.set(i, i < 3 ? seededRandom(`register ${i}`)(48) : new Uint8Array(48));
  }
  for (const [index, register] of changes) pcrs.set(index, register);
  return pcrs;
}

export function registerHex(index: number): string {
  return Buffer.from(registers().get(index) ?? []).toString("hex");
}

/**
 * What is in a `CiphertextForRecipient` for an RSA key of 2048 bits. AWS KMS writes one form of it, so
 * that everything is always in the same place.
 */
export function openEnvelope(ber: Uint8Array | undefined, privateKey: KeyObject): Uint8Array {
  if (ber === undefined) throw new TypeError("no envelope");
  const { RSA_PKCS1_OAEP_PADDING: padding } = constants;
  const encryptedKey = ber.subarray(131, 387);
  const key = privateDecrypt({ key: privateKey, padding, oaepHash: "sha256" }, encryptedKey);
  const decipher = createDecipheriv("aes-256-cbc", key, ber.subarray(415, 431));
  return Buffer.concat([decipher.update(ber.subarray(435, -10)), decipher.final()]);
}
