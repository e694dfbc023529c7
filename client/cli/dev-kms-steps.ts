/** What to paste into a shell to seal a model with a dev-kms and to let an enclave open it. */
import type { DevKms } from "@countersign/sealing";

/** A file of its own, since the key services are measured: the usual policy is of another enclave. */
const POLICY = "sealed-policy.json";

/** Lines of a shell; those that begin with `#` are for the reader. */
export function nextSteps(kms: DevKms): readonly string[] {
  const [key] = kms.keys;
  const keyServices = quoted(kms.keyServicesPath);
  const account = /::(\d{12}):/u.exec(kms.owner.arn)?.[1] ?? "";
  return [
    "",
    "# In the owner's shell: the AWS SDKs, the AWS CLI and countersign then talk to this key service.",
    "unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
    `export AWS_SHARED_CREDENTIALS_FILE=${quoted(kms.owner.credentialsPath)}`,
    `export AWS_REGION=${kms.region} AWS_ENDPOINT_URL_KMS=${kms.url}`,
    `export NODE_EXTRA_CA_CERTS=${quoted(kms.caPath)} AWS_CA_BUNDLE=${quoted(kms.caPath)}`,
    "",
    "# Seal the models of a repository.",
    `npx countersign model seal models --kms-key ${key.alias} --out models.sealed`,
    "",
    "# Let the enclaves of a policy open them; with --release FILE, those of a release.",
    `npx countersign policy init --policy ${POLICY} --key-services ${keyServices}`,
    `npx countersign model policy --policy ${POLICY} --account ${account} \\`,
    `  --node-role ${kms.node.arn} \\`,
    `  --owner-role ${kms.owner.arn} \\`,
    `  > ${quoted(key.policyPath)}`,
    "",
    "# In the node's shell: it has credentials of its own, which are worth nothing without an enclave.",
    `export AWS_SHARED_CREDENTIALS_FILE=${quoted(kms.node.credentialsPath)}`,
    `npx countersign node --models models.sealed --key-services ${keyServices}`,
    "",
  ];
}

/** For a POSIX shell. */
function quoted(path: string): string {
  return /^[\w./@%+=:,-]+$/u.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
