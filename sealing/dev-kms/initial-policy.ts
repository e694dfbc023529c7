/** The policy with which a key begins: its owner alone, and no node until the owner says which. */
const OWNER_ACTIONS = [
  "kms:GenerateDataKey",
  "kms:Encrypt",
  "kms:Decrypt",
  "kms:ReEncrypt*",
  "kms:DescribeKey",
] as const;

/** @param owner - the owner's ARN. @param arn - the key's, for whoever reads the file. */
export function initialPolicy(owner: string, arn: string): string {
  const policy = {
    Version: "2012-10-17",
    Id: arn,
    Statement: [
      {
        Sid: "Owner",
        Effect: "Allow",
        Principal: { AWS: owner },
        Action: OWNER_ACTIONS,
        Resource: "*",
      },
    ],
  };
  return `${JSON.stringify(policy, null, 2)}\n`;
}
