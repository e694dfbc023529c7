export { ImageError, type ImageErrorCode } from "./errors.ts";
