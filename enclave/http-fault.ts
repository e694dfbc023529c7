/**
 * What went wrong with an HTTP message, without the message.
 *
 * Where node:http cannot read one, its error has the bytes that came with it (`rawPacket`): the
 * credentials or the key that were to be in it, for whoever keeps or shows the error's cause.
 */
export function httpFault(error: Error): Error {
  if ("rawPacket" in error) {
    if (error.rawPacket instanceof Uint8Array) error.rawPacket.fill(0);
    Reflect.deleteProperty(error, "rawPacket");
  }
  return error;
}
