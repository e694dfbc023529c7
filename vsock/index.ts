export { VsockError, type VsockErrorCode } from "./errors.ts";
