/** ML-KEM-768 in JavaScript (@noble/post-quantum), for browsers whose WebCrypto has none yet. */
import type { MlKem768 } from "@countersign/protocol";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

const CIPHERTEXT_BYTES = 1088;
const PUBLIC_KEY_BYTES = 1184;

/** For `webPrimitives({ mlkem768: nobleMlKem768 })`. */
export const nobleMlKem768: MlKem768 = {
  key(seed) {
    const { publicKey, secretKey } = ml_kem768.keygen(seed);
    return {
      publicKey: new Uint8Array(publicKey),
      decapsulate(ciphertext) {
        if (ciphertext.length !== CIPHERTEXT_BYTES) return null;
        return new Uint8Array(ml_kem768.decapsulate(ciphertext, secretKey));
      },
      destroy() {
        secretKey.fill(0);
      },
    };
  },
  encapsulate(publicKey) {
    if (publicKey.length !== PUBLIC_KEY_BYTES) return null;
    try {
      const { sharedSecret, cipherText } = ml_kem768.encapsulate(publicKey);
      return { sharedSecret: new Uint8Array(sharedSecret), ciphertext: new Uint8Array(cipherText) };
    } catch {
      // FIPS 203 §7.2: a coefficient out of range.
      return null;
    }
  },
};
