import type { MlKem768, Primitives } from "@countersign/protocol";
import { webPrimitives } from "@countersign/protocol/web";

/** WebCrypto, with ML-KEM-768 in JavaScript, loaded when first needed, where WebCrypto has none. */
export function defaultPrimitives(): Primitives {
  return webPrimitives({ mlkem768: lazyMlKem });
}

const lazyMlKem: MlKem768 = {
  async key(seed) {
    return await (await loadFallback()).key(seed);
  },
  async encapsulate(publicKey) {
    return await (await loadFallback()).encapsulate(publicKey);
  },
};

async function loadFallback(): Promise<MlKem768> {
  const { nobleMlKem768 } = await import("@countersign/protocol/fallback");
  return nobleMlKem768;
}
