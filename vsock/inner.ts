/** What carries bytes over one descriptor: libuv's pipe, or the fallback. It owns the descriptor. */
import type { Duplex } from "node:stream";

export interface Inner extends Duplex {
  /** Whether the process stays alive for it. */
  ref(): unknown;
  unref(): unknown;
}

/** Something that accepts connections at a descriptor, which it owns. */
export interface InnerListener {
  /** Accepts no more. */
  close(): Promise<void>;
}

/** Takes a connection, and the descriptor under it, which it may only ask about. */
export type Accept = (connection: Inner, fd: number) => void;

/** One of two ways to use a descriptor, which each of them owns from the call on, failed or not. */
export interface Streams {
  /** @param fd - connected, and no call on it waits. @throws VsockError */
  readonly open: (fd: number) => Inner;
  /** @param fd - listens already. @throws VsockError */
  readonly listen: (fd: number, accept: Accept) => InnerListener;
}

/** Connections that wait to be accepted; the kernel's own bound is net.core.somaxconn. */
export const BACKLOG = 511;
