/** The public types of @countersign/protocol/native. Written by test/api/generate.ts. */
import type { Primitives } from "@countersign/protocol";

export declare const nativePrimitives: Primitives;

export {};
