// node check.mjs: the default provider chain of the AWS SDK for JavaScript v3,
// then sts:GetCallerIdentity. MODULES is the folder that holds node_modules.
import path from "node:path";
import { createRequire } from "node:module";
const require = createRequire(path.resolve(process.env.MODULES, "x.js"));
const { fromNodeProviderChain } = require("@aws-sdk/credential-providers");
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const sts = new STSClient({ region: "us-east-1", credentials: fromNodeProviderChain() });
console.log((await sts.send(new GetCallerIdentityCommand({}))).Arn);
