/**
 * The bytes of a model's tokens as a trie, so that a constraint walks every token at once: a byte that
 * cannot come rules out all tokens that continue with it.
 *
 * The nodes lie in preorder in flat arrays; a walk is one loop that either goes to the next node or
 * skips a subtree.
 */

import { isUtf8 } from "node:buffer";

/** Bytes of every token id; null for special tokens and for ids without a token. */
export type TokenBytes = readonly (Uint8Array | null)[];

/** Longer tokens are left out: a constrained answer spells such text in shorter ones. */
const MAX_TOKEN_BYTES = 512;

const QUOTE = 0x22;

/** Shared by all who use the model; nobody writes to it. */
export interface Vocabulary {
  readonly tokens: TokenBytes;
  /** Words of a bit set over the token ids. */
  readonly maskWords: number;
  /** Bytes of the longest token in the trie. */
  readonly longest: number;
  /** Whether each byte is a token by itself. */
  readonly singles: readonly boolean[];
  /** Every token that is in a trie. */
  readonly trie: Trie;
  /**
   * By token: its length in characters where it has only those that JSON strings hold without escape,
   * as most tokens do; else 0.
   */
  readonly plain: Uint16Array;
  /** The other tokens. */
  readonly special: Trie;
  /** Tokens with at least one quote, with at least two, and with at least three. */
  readonly quoted: readonly [readonly number[], readonly number[], readonly number[]];
}

export interface Trie {
  readonly nodes: number;
  /** The byte that leads to each node. */
  readonly bytes: Uint8Array;
  /** How many bytes lead to it; the root has no node. */
  readonly depths: Uint16Array;
  /** The first node behind its subtree. */
  readonly skips: Int32Array;
  /** A token that ends here, or −1. */
  readonly ends: Int32Array;
  /** By token: another token of the same bytes, or −1. */
  readonly twins: Int32Array;
}

interface SortedToken {
  readonly id: number;
  readonly bytes: Uint8Array;
  /** A character for each byte: strings compare several times as fast as bytes do. */
  readonly order: string;
}

/**
 * Builds the trie, once for a model.
 *
 * Tokens of no bytes are left out: an answer could hold any number of them without getting on.
 */
export function createVocabulary(tokens: TokenBytes): Vocabulary {
  const sorted: SortedToken[] = [];
  for (const [id, bytes] of tokens.entries()) {
    if (bytes !== null && bytes.length > 0 && bytes.length <= MAX_TOKEN_BYTES) {
      sorted.push({ id, bytes, order: Buffer.from(bytes).toString("latin1") });
    }
  }
  sorted.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : a.id - b.id));
  const singles = Array.from({ length: 256 }, () => false);
  let longest = 0;
  for (const { bytes } of sorted) {
    longest = Math.max(longest, bytes.length);
    if (bytes.length === 1) singles[bytes[0] ?? 0] = true;
  }
  const plain = new Uint16Array(tokens.length);
  for (const { id, bytes } of sorted) plain[id] = plainLength(bytes);
  const special = sorted.filter(({ id }) => plain[id] === 0);
  const withQuotes = (least: number): number[] =>
    special.filter(({ bytes }) => quotesIn(bytes) >= least).map(({ id }) => id);
  return {
    tokens,
    maskWords: Math.ceil(tokens.length / 32),
    longest,
    singles,
    trie: buildTrie(sorted, tokens.length),
    plain,
    special: buildTrie(special, tokens.length),
    quoted: [withQuotes(1), withQuotes(2), withQuotes(3)],
  };
}

/** Characters, where all of it is well-formed UTF-8 of RFC 8259's `unescaped`: no `"`, `\` or control. */
function plainLength(bytes: Uint8Array): number {
  let characters = 0;
  let ascii = true;
  for (const byte of bytes) {
    if (byte < 0x20 || byte === QUOTE || byte === 0x5c) return 0;
    // All but the continuation bytes (RFC 3629 §3).
    if ((byte & 0xc0) !== 0x80) characters += 1;
    if (byte >= 0x80) ascii = false;
  }
  return ascii || isUtf8(bytes) ? characters : 0;
}

const quotesIn = (bytes: Uint8Array): number =>
  bytes.reduce((count, byte) => (byte === QUOTE ? count + 1 : count), 0);

function buildTrie(sorted: readonly SortedToken[], tokenCount: number): Trie {
  const most = sorted.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const bytes = new Uint8Array(most);
  const depths = new Uint16Array(most);
  const skips = new Int32Array(most);
  const ends = new Int32Array(most).fill(-1);
  const twins = new Int32Array(tokenCount).fill(-1);
  let nodes = 0;
  /** The nodes on the way to the last token, by depth. */
  const path: number[] = [];

  for (const token of sorted) {
    const shared = sharedDepth(token.bytes, path, bytes);
    // In preorder, a node that the next token does not go through has its whole subtree behind it.
    for (const node of path.splice(shared)) skips[node] = nodes;
    for (let depth = shared; depth < token.bytes.length; depth += 1) {
      bytes[nodes] = token.bytes[depth] ?? 0;
      depths[nodes] = depth + 1;
      path.push(nodes);
      nodes += 1;
    }
    const end = path[path.length - 1] ?? 0;
    twins[token.id] = ends[end] ?? -1;
    ends[end] = token.id;
  }
  for (const node of path) skips[node] = nodes;
  return {
    nodes,
    bytes: bytes.slice(0, nodes),
    depths: depths.slice(0, nodes),
    skips: skips.slice(0, nodes),
    ends: ends.slice(0, nodes),
    twins,
  };
}

/** How many nodes of `path` spell the beginning of `token`. */
function sharedDepth(token: Uint8Array, path: readonly number[], bytes: Uint8Array): number {
  let depth = 0;
  while (depth < path.length && bytes[path[depth] ?? 0] === token[depth]) depth += 1;
  return depth;
}
