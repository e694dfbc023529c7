/** What the main thread read of a decoder's configuration and tokenizer. */
export interface DecoderConfig {
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Whether some layer sees the last tokens only. */
  readonly slidingWindow: boolean;
  /** Ids that end the answer. */
  readonly endTokens: readonly number[];
  /** Bytes of every token id; null for special tokens and for ids without a token. */
  readonly tokens: readonly (Uint8Array | null)[];
  /** Ids below `tokens.length` that no token has: like those above, they are never sampled. */
  readonly holes: readonly number[];
}
