import type { Command } from "../command.ts";
import { attestCommand } from "./attest.ts";
import { chatCommand } from "./chat.ts";
import { demoTamperCommand } from "./demo.ts";
import { devKmsCommand } from "./dev-kms.ts";
import { imageBuildCommand, imageTreeCommand } from "./image.ts";
import { inferCommand } from "./infer.ts";
import { keyBrokerCommand } from "./key-broker.ts";
import { measureCommand } from "./measure.ts";
import { modelAddCommand } from "./model-add.ts";
import { modelInspectCommand } from "./model-inspect.ts";
import { modelKeygenCommand } from "./model-keygen.ts";
import { modelPolicyCommand } from "./model-policy.ts";
import { modelResealCommand } from "./model-reseal.ts";
import { modelSealCommand } from "./model-seal.ts";
import { modelUnsealCommand } from "./model-unseal.ts";
import { modelDigestCommand, modelListCommand } from "./model.ts";
import { nodeCommand } from "./node.ts";
import { policyCheckCommand, policyInitCommand, policyShowCommand } from "./policy.ts";
import { proxyCommand } from "./proxy.ts";
import { quickstartCommand } from "./quickstart.ts";
import { releaseRebuildCommand } from "./release-rebuild.ts";
import { releaseCommand } from "./release.ts";
import { verifyCommand } from "./verify.ts";
import { versionCommand } from "./version.ts";

/** Every command, in the order in which a newcomer meets them. */
export const COMMANDS: readonly Command[] = [
  quickstartCommand,
  nodeCommand,
  chatCommand,
  inferCommand,
  verifyCommand,
  attestCommand,
  proxyCommand,
  policyInitCommand,
  policyShowCommand,
  policyCheckCommand,
  modelAddCommand,
  modelDigestCommand,
  modelListCommand,
  modelSealCommand,
  modelInspectCommand,
  modelResealCommand,
  modelUnsealCommand,
  modelKeygenCommand,
  modelPolicyCommand,
  keyBrokerCommand,
  devKmsCommand,
  imageBuildCommand,
  imageTreeCommand,
  measureCommand,
  releaseCommand,
  releaseRebuildCommand,
  demoTamperCommand,
  versionCommand,
];
