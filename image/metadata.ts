/**
 * The metadata section, which `nitro-cli describe-eif` shows and requires. No register covers it, so
 * nothing may rely on it. It says nothing of the time, the machine or the user of the build: then the
 * whole file is reproducible, not its measurements only.
 */
import { encodeHex, encodeUtf8 } from "@countersign/attestation/attester";

/** What AWS's tools require to be there. The time is fixed: the least that they can read. */
const BUILD_TIME = "1970-01-01T00:00:00+00:00";
const NAME = "countersign";
/** Of this section's form and of the image's layout, not of the code in it, which the registers name. */
const LAYOUT_VERSION = "1";

/** Fields and their order as AWS's image format library writes them. */
export function encodeMetadata(kernelSha256: Uint8Array): Uint8Array {
  return encodeUtf8(
    JSON.stringify({
      ImageName: NAME,
      ImageVersion: LAYOUT_VERSION,
      BuildMetadata: {
        BuildTime: BUILD_TIME,
        BuildTool: NAME,
        BuildToolVersion: LAYOUT_VERSION,
        OperatingSystem: "Linux",
        KernelVersion: `sha256:${encodeHex(kernelSha256)}`,
      },
      DockerInfo: {},
      CustomMetadata: {},
    }),
  );
}
