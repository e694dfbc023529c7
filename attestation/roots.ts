/** Trust anchors that come with the verifier. A policy names the ones it uses by their SHA-256. */
import { decodeHex } from "./bytes.ts";

/** A trust anchor: a certificate and its SHA-256. */
export interface RootCertificate {
  readonly der: Uint8Array;
  /** SHA-256 of `der`, 32 bytes. */
  readonly sha256: Uint8Array;
}

/** SHA-256 of {@link AWS_NITRO_ROOT}: what a page needs that lets its policy name the root. */
export const AWS_NITRO_ROOT_SHA256: Uint8Array = bytes([
  "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b",
]);

/**
 * AWS Nitro Enclaves Root G1: CN=aws.nitro-enclaves, P-384, 2019-10-28 to 2049-10-28.
 *
 * Published at https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip. These bytes
 * were retrieved on 2026-11-21 from the certificate bundle of a production document; their SHA-256,
 * 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b, is the fingerprint that AWS
 * gives at https://docs.aws.amazon.com/enclaves/latest/user/verify-root.html.
 */
export const AWS_NITRO_ROOT: RootCertificate = /* @__PURE__ */ awsNitroRoot();

function awsNitroRoot(): RootCertificate {
  const der = bytes([
    "3082021130820196a003020102021100f93175681b90afe11d46ccb4e4e7f856300a06082a8648ce3d0403033049",
    "310b3009060355040613025553310f300d060355040a0c06416d617a6f6e310c300a060355040b0c03415753311b",
    "301906035504030c126177732e6e6974726f2d656e636c61766573301e170d3139313032383133323830355a170d",
    "3439313032383134323830355a3049310b3009060355040613025553310f300d060355040a0c06416d617a6f6e31",
    "0c300a060355040b0c03415753311b301906035504030c126177732e6e6974726f2d656e636c6176657330763010",
    "06072a8648ce3d020106052b8104002203620004fc0254eba608c1f36870e29ada90be46383292736e894bfff672",
    "d989444b5051e534a4b1f6dbe3c0bc581a32b7b176070ede12d69a3fea211b66e752cf7dd1dd095f6f1370f41708",
    "43d9dc100121e4cf63012809664487c9796284304dc53ff4a3423040300f0603551d130101ff040530030101ff30",
    "1d0603551d0e041604149025b50dd90547e796c396fa729dcf99a9df4b96300e0603551d0f0101ff040403020186",
    "300a06082a8648ce3d0403030369003066023100a37f2f91a1c9bd5ee7b8627c1698d255038e1f0343f95b63a962",
    "8c3d39809545a11ebcbf2e3b55d8aeee71b4c3d6adf3023100a2f39b1605b27028a5dd4ba069b5016e65b4fbde8f",
    "e0061d6a53197f9cdaf5d943bc61fc2beb03cb6fee8d2302f3dff6",
  ]);
  return { der, sha256: AWS_NITRO_ROOT_SHA256 };
}

function bytes(lines: readonly string[]): Uint8Array {
  const decoded = decodeHex(lines.join(""));
  if (decoded === null) throw new TypeError("a built-in root is not hexadecimal");
  return decoded;
}
