// The full list of what the pure folders can reach beyond the language itself: WebCrypto and text
// coding. `types: []` and `lib: ["es2024"]` make everything else a compile error.

interface CryptoKey {
  readonly type: string;
}

interface SubtleCrypto {
  digest(algorithm: string, data: Uint8Array): Promise<ArrayBuffer>;
  importKey(
    format: "raw" | "spki" | "pkcs8" | "raw-public" | "raw-seed",
    keyData: Uint8Array,
    algorithm: unknown,
    extractable: boolean,
    usages: readonly string[],
  ): Promise<CryptoKey>;
  exportKey(
    format: "raw" | "spki" | "pkcs8" | "raw-public" | "raw-seed",
    key: CryptoKey,
  ): Promise<ArrayBuffer>;
  generateKey(
    algorithm: unknown,
    extractable: boolean,
    usages: readonly string[],
  ): Promise<{ readonly publicKey: CryptoKey; readonly privateKey: CryptoKey }>;
  verify(
    algorithm: unknown,
    key: CryptoKey,
    signature: Uint8Array,
    data: Uint8Array,
  ): Promise<boolean>;
  sign(algorithm: unknown, key: CryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
  encrypt(algorithm: unknown, key: CryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
  decrypt(algorithm: unknown, key: CryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
  deriveBits(algorithm: unknown, key: CryptoKey, length: number): Promise<ArrayBuffer>;
  encapsulateBits?(
    algorithm: unknown,
    key: CryptoKey,
  ): Promise<{ readonly sharedKey: ArrayBuffer; readonly ciphertext: ArrayBuffer }>;
  decapsulateBits?(
    algorithm: unknown,
    key: CryptoKey,
    ciphertext: Uint8Array,
  ): Promise<ArrayBuffer>;
  getPublicKey?(key: CryptoKey, usages: readonly string[]): Promise<CryptoKey>;
}

declare const crypto: {
  readonly subtle: SubtleCrypto;
  getRandomValues(array: Uint8Array): Uint8Array;
};

declare class TextEncoder {
  encode(text: string): Uint8Array;
}

declare class TextDecoder {
  constructor(label: "utf-8", options: { readonly fatal: true; readonly ignoreBOM: true });
  decode(bytes: Uint8Array): string;
}
