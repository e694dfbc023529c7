/** Prints every register as the module tells it, in a guest: `register <index> <hex> <locked>`. */
import { openNsmDevice } from "../../enclave/nsm/device.ts";

const nsm = openNsmDevice();
for (let index = 0; index < nsm.describe().maxPcrs; index++) {
  const { value, locked } = nsm.describePcr(index);
  console.log(`register ${index} ${Buffer.from(value).toString("hex")} ${locked}`);
}
