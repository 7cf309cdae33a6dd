// SPDX-License-Identifier: Apache-2.0
const session = require("node:http2").connect(process.argv[2]);
const request = session.request({ ":path": "/a" });
request.on("response", (headers) => process.stdout.write(`${headers[":status"]}\n`));
request.on("data", (part) => process.stdout.write(part));
request.on("end", () => session.close());
