// What we use of @huggingface/tokenizers 0.2.0. Its own types do not compile under `nodenext`: they
// import each other without file extensions, so enclave/tsconfig.json points here.

export declare class BPE {
  /** Forgets the words that were encoded, and their tokens. */
  clear_cache(): void;
}

export declare class Tokenizer {
  /** The model's kind: BPE, Unigram or WordPiece. */
  readonly model: object | null;
  constructor(tokenizer: object, config: object);
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly number[] };
}
