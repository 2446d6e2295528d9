// What npm installs lies in the target folder, not beside the tests.

import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.CULVERT_BROWSER_MODULES;
if (!folder) throw new Error("CULVERT_BROWSER_MODULES is not set: `make test-browser` sets it");
const require = createRequire(join(folder, "tests.js"));

export const { chromium } = require("playwright-core");
export const WebSocket = require("ws");
export const { WebSocketServer } = WebSocket;
export const axe = require("axe-core").source;
