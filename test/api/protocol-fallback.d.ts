/** The public types of @countersign/protocol/fallback. Written by test/api/generate.ts. */
import type { MlKem768 } from "@countersign/protocol";

export declare const nobleMlKem768: MlKem768;

export {};
