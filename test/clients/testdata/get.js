// SPDX-License-Identifier: Apache-2.0
require("node:http").get(process.argv[2], (answer) => {
  const parts = [];
  answer.on("data", (part) => parts.push(part));
  answer.on("end", () => {
    process.stdout.write(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n\r\n`);
    process.stdout.write(Buffer.concat(parts));
  });
});
