export { CID_ANY, CID_HOST, CID_LOCAL, CID_PARENT, type VsockAddress } from "./address.ts";
export type { StreamKind } from "./choice.ts";
export { VsockError, type VsockErrorCode } from "./errors.ts";
export type { VsockListener } from "./sockets.ts";
export {
  connectVsock,
  type ConnectVsockOptions,
  listenVsock,
  type ListenVsockOptions,
  vsockAvailable,
} from "./vsock.ts";
