/** Making a receipt and judging one, each beside its one signature. */
import { generateKeyPairSync, sign } from "node:crypto";
import {
  appraiseBundle,
  appraiseExchange,
  encodeHex,
  encodeModelSet,
  encodeRuntimeConfig,
  type ExchangeEvidence,
  type ModelRef,
  parsePolicy,
  parseReceipt,
  type Policy,
  type ReceiptClaims,
  receiptToBeSigned,
  type VerifiedEpoch,
} from "@countersign/attestation";
import { composePolicy } from "../client/cli/policies.ts";
import { type Epoch, openEpoch } from "../enclave/epoch.ts";
import { SimulatedNsm } from "../enclave/simulation/nsm.ts";
import { certificatePem, createVendor, rootDigest } from "../enclave/simulation/vendor.ts";
import { extendModels } from "./registers.ts";
import type { Settings } from "./settings.ts";
import { median } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings, reported } from "./table.ts";
import { ratioOf, takeTurns } from "./turns.ts";

const MAX_RECEIPT_US = 500;
