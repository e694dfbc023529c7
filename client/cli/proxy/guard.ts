import { hostname } from "node:os";
import { isIP } from "node:net";

import { CommandError } from "../exit.ts";

/** Where the proxy listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"] as const;
const HTTP_PORT = 80;

/** `HOST:PORT`, `[IPV6]:PORT`. @throws CommandError */
export function parseListen(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):(\d{1,5})$/u.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new CommandError(
      `--listen ${JSON.stringify(text)} is no address`,
      "HOST:PORT, an IPv6 address in brackets; for example 127.0.0.1:8481",
    );
  }
  return { host, port };
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/u.test(host);
}

/**
 * Whether a request's Host header is the proxy's own.
 *
 * A page in a browser can make any name of its own resolve to 127.0.0.1 (DNS rebinding) and would
 * then read answers as if the proxy were its own server. The name it came by gives it away. Behind
 * an address that is not loopback any IP address will do, since no name had to be resolved.
 */
export function isOwnHost(header: string | undefined, listen: ListenAddress): boolean {
  if (header === undefined) return false;
  const match = /^(\[[0-9A-Fa-f:.]+\]|[^:\s]+)(?::(\d{1,5}))?$/u.exec(header.toLowerCase());
  const name = match?.[1];
  if (name === undefined || Number(match?.[2] ?? HTTP_PORT) !== listen.port) return false;
  if (LOOPBACK_NAMES.some((own) => own === name) || name === bracketed(listen.host)) return true;
  if (isLoopback(listen.host)) return false;
  return isIP(name.replace(/^\[|\]$/gu, "")) !== 0 || name === hostname().toLowerCase();
}

/** A host as it stands in a URL. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host.toLowerCase();
}
