/**
 * `countersign dev-kms`: a key service that speaks AWS KMS's protocol, to develop and to test against.
 *
 * It keeps its keys in files on this machine. It is no key management service.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";

import { SealingError } from "../errors.ts";
import { certificateDigest, issueServerCertificate } from "./certificates.ts";
import { type DevKmsFault, FaultQueue } from "./fault.ts";
import { keyArn } from "./keyring.ts";
import { isLoopback, listen } from "./listener.ts";
import { REGION } from "./names.ts";
import { createKmsServer, type DevKmsEntry } from "./server.ts";
import type { Principal } from "./signature.ts";
import {
  credentialsPath,
  type DevKmsState,
  openState,
  policyPath,
  readPolicyText,
  replaceFile,
} from "./state.ts";

export interface DevKmsOptions {
  /** State; made at the first start, private to its owner. */
  readonly directory: string;
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Whether other machines may reach it. */
  readonly allowRemote: boolean;
  /**
   * DER of the certificates that may vouch for an enclave; AWS's is `AWS_NITRO_ROOT.der`. A function
   * is asked for each document.
   */
  readonly attestationRoots: readonly Uint8Array[] | (() => Promise<readonly Uint8Array[]>);
  /** Keys besides `alias/countersign`, each `alias/NAME`; made where there are none of that name. */
  readonly aliases?: readonly string[];
  readonly log?: (entry: DevKmsEntry) => void;
  /** Unix time, milliseconds. */
  readonly clock?: () => number;
  /** For tests: each request takes the first one that is left. */
  readonly faults?: readonly DevKmsFault[];
}

export interface DevKmsPrincipal {
  readonly arn: string;
  /** As the SDK's `credentials` option takes them. */
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** `AWS_SHARED_CREDENTIALS_FILE` */
  readonly credentialsPath: string;
}

export interface DevKmsKey {
  readonly arn: string;
  /** `alias/NAME` */
  readonly alias: string;
  /** Its policy: edit it, and the next request is judged by it. */
  readonly policyPath: string;
}

/** A running dev-kms. */
export interface DevKms {
  /** `https://localhost:PORT` */
  readonly url: string;
  readonly region: string;
  /** The authority's certificate. */
  readonly caPem: string;
  readonly caPath: string;
  /** For `--key-services`: this KMS and nothing else. */
  readonly keyServicesPath: string;
  readonly owner: DevKmsPrincipal;
  readonly node: DevKmsPrincipal;
  /** `alias/countersign` first. */
  readonly keys: readonly [DevKmsKey, ...DevKmsKey[]];
  /** For tests: what goes wrong with the next `times` requests. */
  inject(fault: DevKmsFault, times: number): void;
  /** Takes back the faults that are left. */
  recover(): void;
  close(): Promise<void>;
}

export const DEFAULT_ALIAS = "alias/countersign";
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1"] as const;
const WILDCARDS = ["0.0.0.0", "::"] as const;

/** @throws SealingError `dev-kms/remote`, `dev-kms/state`, `dev-kms/listen` */
export async function startDevKms(options: DevKmsOptions): Promise<DevKms> {
  const { host, port } = options.listen;
  if (!isLoopback(host) && !options.allowRemote) {
    throw new SealingError("dev-kms/remote", `${host} can be reached from other machines`);
  }
  const clock = options.clock ?? Date.now;
  const aliases = [DEFAULT_ALIAS, ...(options.aliases ?? [])];
  const state = await openState(options.directory, aliases, clock());
  const name = endpointName(host);
  const names = [...new Set([name, host, ...LOOPBACK_NAMES])].filter((one) => !isWildcard(one));
  const faults = new FaultQueue(options.faults ?? []);
  const server = createKmsServer({
    certificate: await issueServerCertificate(state.authority, names, clock()),
    principals: [state.owner, state.node],
    keys: state.keys,
    policyText: async (key) => readPolicyText(state.directory, key),
    attestationRoots: async () => {
      const roots = options.attestationRoots;
      return (typeof roots === "function" ? await roots() : roots).map(sha256);
    },
    clock,
    nextFault: () => faults.next(),
    log: options.log ?? (() => undefined),
  });
  const listener = await listen(server, host, port);
  const url = `https://${name}:${listener.port}`;
  const keyServicesPath = join(state.directory, "key-services.json");
  try {
    await replaceFile(keyServicesPath, keyServices(url, state.authority.certificate));
  } catch (error) {
    await listener.close();
    throw error;
  }
  return {
    url,
    region: REGION,
    caPem: state.authority.certificate,
    caPath: join(state.directory, "ca.pem"),
    keyServicesPath,
    owner: principalOf(state.owner, credentialsPath(state.directory, "owner")),
    node: principalOf(state.node, credentialsPath(state.directory, "node")),
    keys: keysOf(state),
    inject: (fault, times) => {
      faults.add(fault, times);
    },
    recover: () => {
      faults.clear();
    },
    close: async () => {
      await listener.close();
      for (const key of state.keys) key.material.fill(0);
    },
  };
}

/** What stands in URLs. An enclave's configuration takes host names and IPv4 addresses. */
function endpointName(host: string): string {
  if (LOOPBACK_NAMES.some((loopback) => loopback === host)) return "localhost";
  return isWildcard(host) || host.includes(":") ? hostname().toLowerCase() : host.toLowerCase();
}

function isWildcard(host: string): boolean {
  return WILDCARDS.some((wildcard) => wildcard === host);
}

function keyServices(url: string, certificate: string): string {
  const file = {
    version: 1,
    services: [
      { kind: "aws-kms", region: REGION, endpoint: url, roots: [certificateDigest(certificate)] },
    ],
    rootCertificates: [certificate],
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

function principalOf({ arn, key }: Principal, path: string): DevKmsPrincipal {
  const { accessKeyId, secretAccessKey, sessionToken } = key;
  const token = sessionToken === null ? {} : { sessionToken };
  return { arn, credentials: { accessKeyId, secretAccessKey, ...token }, credentialsPath: path };
}

function keysOf({ directory, keys }: DevKmsState): DevKms["keys"] {
  const views = keys.map((key) => ({
    arn: keyArn(key),
    alias: key.alias,
    policyPath: policyPath(directory, key),
  }));
  const first = views.find(({ alias }) => alias === DEFAULT_ALIAS);
  if (first === undefined) throw new TypeError("the first key was not made");
  return [first, ...views.filter((view) => view !== first)];
}

function sha256(der: Uint8Array): Uint8Array {
  return createHash("sha256").update(der).digest();
}
