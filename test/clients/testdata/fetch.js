// SPDX-License-Identifier: Apache-2.0
fetch(process.argv[2]).then(async (answer) => {
  const body = Buffer.from(await answer.arrayBuffer());
  process.stdout.write(`HTTP/1.1 ${answer.status} ${answer.statusText}\r\n\r\n`);
  process.stdout.write(body);
});
