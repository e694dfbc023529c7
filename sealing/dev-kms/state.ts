/**
 * The state directory. Each file is made once, whole or not at all, and read ever after.
 *
 * ```
 * authority.pem        the authority's key and certificate
 * ca.pem               its certificate alone, for clients
 * owner.credentials    AWS_SHARED_CREDENTIALS_FILE of the owner
 * node.credentials     … of the node
 * keys/<id>.json       one key: alias, time, material
 * policies/<id>.json   its policy, for you to edit
 * key-services.json    what an enclave's measured configuration has to say; written at each start
 * ```
 */
import {
  createHash,
  createPrivateKey,
  randomBytes,
  randomUUID,
  X509Certificate,
} from "node:crypto";
import { link, mkdir, open, readdir, rename, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { AttestationError, JsonNode, parseJson } from "@countersign/attestation/attester";

import { SealingError } from "../errors.ts";
import { systemCode } from "../files.ts";
import { type Authority, createAuthority } from "./certificates.ts";
import { createAccessKey, encodeCredentials, parseCredentials } from "./credentials.ts";
import { keyArn, KEY_BYTES, type KmsKey } from "./keyring.ts";
import { ALIAS, KEY_ID, roleArn } from "./names.ts";
import { initialPolicy } from "./initial-policy.ts";
import { MAX_POLICY_BYTES } from "./policy.ts";
import type { Principal } from "./signature.ts";

const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;
const MAX_FILE_BYTES = 65_536;
const MAX_KEYS = 64;
const KEY_ID_PARTS = /^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/u;

/** What the directory holds, read. */
export interface DevKmsState {
  readonly directory: string;
  readonly authority: Authority;
  readonly owner: Principal;
  readonly node: Principal;
  /** In the order of their making. */
  readonly keys: readonly KmsKey[];
}

/** Role names, and files by their first word. */
const PRINCIPALS = {
  owner: { role: "countersign-owner", temporary: false },
  // A node's host gets its credentials from its role, and those come with a token.
  node: { role: "countersign-node", temporary: true },
} as const;

/**
 * Reads the state in `directory`, and makes what is not there yet.
 *
 * @param aliases - of the keys that there have to be, each `alias/NAME`.
 * @throws SealingError `dev-kms/state`
 */
export async function openState(
  directory: string,
  aliases: readonly string[],
  nowMs: number,
): Promise<DevKmsState> {
  try {
    await makeDirectories(directory);
    const authority = await openAuthority(directory, nowMs);
    const [owner, node] = [
      await openPrincipal(directory, "owner"),
      await openPrincipal(directory, "node"),
    ];
    const keys = await openKeys({ directory, authority, aliases, nowMs });
    return { directory, authority, owner, node, keys };
  } catch (cause) {
    if (cause instanceof SealingError) throw cause;
    throw refused(`cannot use ${directory}: ${messageOf(cause)}`, cause);
  }
}

export function policyPath(directory: string, key: KmsKey): string {
  return join(directory, "policies", `${key.id}.json`);
}

export function credentialsPath(directory: string, principal: keyof typeof PRINCIPALS): string {
  return join(directory, `${principal}.credentials`);
}

/** A text of `directory`, in place of the one that was there. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeFile(unfinished, text, { flag: "wx", mode: PRIVATE_FILE, flush: true });
    await rename(unfinished, path);
  } catch (error) {
    await unlink(unfinished).catch(() => undefined);
    throw error;
  }
}

/** At most {@link MAX_FILE_BYTES}. @throws what the file system says, or SealingError. */
export async function readState(path: string, most: number = MAX_FILE_BYTES): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > most) throw refused(`${path} has ${size} bytes, want at most ${most}`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** The policy of a key as it stands now. */
export async function readPolicyText(directory: string, key: KmsKey): Promise<string> {
  return readState(policyPath(directory, key), MAX_POLICY_BYTES);
}

async function makeDirectories(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: PRIVATE_DIRECTORY });
  const { mode } = await stat(directory);
  if ((mode & 0o077) !== 0) {
    throw refused(`${directory} is open to others, and keys lie in it: chmod 700 ${directory}`);
  }
  for (const name of ["keys", "policies"]) {
    await mkdir(join(directory, name), { recursive: true, mode: PRIVATE_DIRECTORY });
  }
}

async function openAuthority(directory: string, nowMs: number): Promise<Authority> {
  const text = await made(join(directory, "authority.pem"), async () => {
    const { key, certificate } = await createAuthority(nowMs);
    return key + certificate;
  });
  const start = text.indexOf("-----BEGIN CERTIFICATE-----");
  if (start === -1) throw refused("authority.pem has no certificate");
  const authority = { key: text.slice(0, start), certificate: text.slice(start) };
  requireAuthority(authority, nowMs);
  await replaceFile(join(directory, "ca.pem"), authority.certificate);
  return authority;
}

function requireAuthority({ key, certificate }: Authority, nowMs: number): void {
  const parsed = new X509Certificate(certificate);
  if (!parsed.checkPrivateKey(createPrivateKey(key))) throw refused("authority.pem: another key");
  if (parsed.validToDate.getTime() < nowMs) {
    throw refused(
      `authority.pem has expired: remove it for a new one, which clients have to learn`,
    );
  }
}

async function openPrincipal(directory: string, name: keyof typeof PRINCIPALS): Promise<Principal> {
  const { role, temporary } = PRINCIPALS[name];
  const path = credentialsPath(directory, name);
  const text = await made(path, async () =>
    encodeCredentials(createAccessKey(temporary), `Access keys for the ${name}`),
  );
  const key = parseCredentials(text);
  if (key === null) throw refused(`${path} is not as it was made: remove it for a new one`);
  return { arn: roleArn(role), key };
}

interface Wanted {
  readonly directory: string;
  readonly authority: Authority;
  readonly aliases: readonly string[];
  readonly nowMs: number;
}

async function openKeys({
  directory,
  authority,
  aliases,
  nowMs,
}: Wanted): Promise<readonly KmsKey[]> {
  const keys = await readKeys(directory);
  const known = new Set(keys.map(({ alias }) => alias));
  const missing = [...new Set(aliases)].filter((alias) => !known.has(alias));
  // Before one is made: a directory with more would not open again.
  requireFewKeys(keys.length + missing.length);
  for (const alias of missing) {
    if (!ALIAS.test(alias)) throw refused(`"${alias}" is no alias, want alias/NAME`);
    keys.push(await makeKey(directory, keyId(authority, alias), alias, nowMs));
  }
  for (const key of keys) {
    const path = policyPath(directory, key);
    await made(path, async () => initialPolicy(roleArn(PRINCIPALS.owner.role), keyArn(key)));
  }
  return keys;
}

async function readKeys(directory: string): Promise<KmsKey[]> {
  const names = (await readdir(join(directory, "keys"))).filter((name) => name.endsWith(".json"));
  requireFewKeys(names.length);
  const keys: KmsKey[] = [];
  for (const name of names) {
    const path = join(directory, "keys", name);
    keys.push(parseKey(await readState(path), name.slice(0, -".json".length), path));
  }
  return keys.toSorted((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
}

function requireFewKeys(count: number): void {
  if (count > MAX_KEYS) throw refused(`${count} keys, want at most ${MAX_KEYS}`);
}

/** Of two that start at the same time, both make the key of an alias in one place, and one of them does. */
function keyId({ certificate }: Authority, alias: string): string {
  const digest = createHash("sha256").update(certificate).update(alias).digest("hex");
  return digest.replace(KEY_ID_PARTS, "$1-$2-$3-$4-$5");
}

async function makeKey(
  directory: string,
  id: string,
  alias: string,
  createdMs: number,
): Promise<KmsKey> {
  const path = join(directory, "keys", `${id}.json`);
  const text = await made(path, async () => {
    const material = randomBytes(KEY_BYTES).toString("base64");
    return `${JSON.stringify({ alias, createdMs, material }, null, 2)}\n`;
  });
  return parseKey(text, id, path);
}

function parseKey(text: string, id: string, path: string): KmsKey {
  try {
    const file = new JsonNode("", parseJson(text)).object(["alias", "createdMs", "material"]);
    const alias = file.get("alias").text();
    const material = Buffer.from(file.get("material").text(), "base64");
    if (!KEY_ID.test(id) || !ALIAS.test(alias) || material.length !== KEY_BYTES) {
      throw refused(`${path} is no key`);
    }
    const createdMs = file.get("createdMs").integer(0, Number.MAX_SAFE_INTEGER);
    return { id, alias, createdMs, material };
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    throw refused(`${path} is no key: ${cause.message}`, cause);
  }
}

/**
 * The text of `path`, which `make` gives where there is none yet.
 *
 * Of two that start at the same time both read the file of one: a link does not replace a file.
 */
async function made(path: string, make: () => Promise<string>): Promise<string> {
  if (!(await exists(path))) {
    const unfinished = `${path}.${randomUUID()}`;
    try {
      await writeFile(unfinished, await make(), { flag: "wx", mode: PRIVATE_FILE, flush: true });
      await link(unfinished, path).catch((error: unknown) => {
        if (systemCode(error) !== "EEXIST") throw error;
      });
    } finally {
      await unlink(unfinished).catch(() => undefined);
    }
  }
  return readState(path);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) === "ENOENT") return false;
      throw error;
    },
  );
}

function messageOf(error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.message : String(error));
}

function refused(message: string, cause?: unknown): SealingError {
  return new SealingError("dev-kms/state", message, { cause });
}
