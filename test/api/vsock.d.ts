/** The public types of @countersign/vsock. Written by test/api/generate.ts. */
import type { Duplex } from "node:stream";

export declare const CID_ANY = 4294967295;

export declare const CID_HOST = 2;

export declare const CID_LOCAL = 1;

export declare const CID_PARENT = 3;

export interface ConnectVsockOptions {
  readonly timeoutMs?: number;
  readonly streams?: StreamKind;
}

export interface ListenVsockOptions {
  readonly maxConnections?: number;
  readonly onlyFrom?: number;
  readonly streams?: StreamKind;
}

export type StreamKind = "pipe" | "fallback";

export interface VsockAddress {
  readonly cid: number;
  readonly port: number;
}

export declare class VsockError extends Error {
  readonly name = "VsockError";
  readonly code: VsockErrorCode;
  constructor(code: VsockErrorCode, message: string, options?: ErrorOptions);
}

export type VsockErrorCode =
  | "vsock/unavailable"
  | "vsock/address-in-use"
  | "vsock/denied"
  | "vsock/refused"
  | "vsock/timeout"
  | "vsock/reset"
  | "vsock/system";

export interface VsockListener {
  close(): Promise<void>;
}

export declare function connectVsock(address: VsockAddress, options?: ConnectVsockOptions): Duplex;

export declare function listenVsock(
  port: number,
  accept: (connection: Duplex) => void,
  options?: ListenVsockOptions,
): Promise<VsockListener>;

export declare function vsockAvailable(): boolean;

export {};
