/** Where this KMS says that it is: no region and no account of AWS has these names. */
export const REGION = "dev-local-1";
export const ACCOUNT = "000000000000";
export const SERVICE = "kms";

export const KEY_ID: RegExp = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u;
/** AWS KMS API Reference, `CreateAlias`: letters, digits, `/`, `_`, `-`; `alias/aws/` is AWS's own. */
export const ALIAS: RegExp = /^alias\/(?!aws\/)[a-zA-Z0-9/_-]{1,250}$/u;

/** `resource`: `key/ID` or `alias/NAME`. */
export function arnOf(resource: string): string {
  return `arn:aws:${SERVICE}:${REGION}:${ACCOUNT}:${resource}`;
}

/** A role rather than a user, because that is what an owner and a node have on AWS. */
export function roleArn(role: string): string {
  return `arn:aws:iam::${ACCOUNT}:role/${role}`;
}
