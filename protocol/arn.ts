/**
 * The Amazon Resource Name of a KMS key: `arn:<partition>:kms:<region>:<account>:key/<id>`.
 *
 * Its region becomes part of a host name that the enclave speaks to, so nothing but a region's own
 * characters gets through. An alias is no key: it can be moved to another one, and is refused.
 */
import { ProtocolError } from "./errors.ts";

export interface KmsKeyArn {
  readonly partition: "aws" | "aws-cn" | "aws-us-gov";
  readonly region: string;
  /** 12 digits. */
  readonly account: string;
  /** What comes after `key/`: a UUID, or `mrk-` and 32 hexadecimal digits. */
  readonly keyId: string;
}

/** Longer than any ARN that fits. */
const MAX_ARN_CHARACTERS = 192;
const ARN =
  /^arn:(?<partition>aws|aws-cn|aws-us-gov):kms:(?<region>[a-z]{2,8}(?:-[a-z]{2,16}){1,3}-[1-9][0-9]?):(?<account>[0-9]{12}):key\/(?<keyId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/u;

/** @throws {@link ProtocolError} `seal/envelope`. */
export function parseKmsKeyArn(text: string): KmsKeyArn {
  const groups = text.length > MAX_ARN_CHARACTERS ? undefined : ARN.exec(text)?.groups;
  const region = groups?.["region"] ?? "";
  const account = groups?.["account"] ?? "";
  const keyId = groups?.["keyId"] ?? "";
  const partition = partitionOf(region);
  if (groups?.["partition"] !== partition) {
    throw new ProtocolError(
      "seal/envelope",
      "want a KMS key's ARN: arn:aws:kms:REGION:ACCOUNT:key/ID",
    );
  }
  return { partition, region, account, keyId };
}

/** Where a region lies: an ARN that says otherwise names no key. */
function partitionOf(region: string): KmsKeyArn["partition"] {
  if (region.startsWith("cn-")) return "aws-cn";
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
}
