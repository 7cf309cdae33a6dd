# SPDX-License-Identifier: Apache-2.0
# Sends all of a large body before it reads anything: a reset would take the
# answer away.
import http.client
import sys
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
connection.request("POST", url.path, body=b"x" * 200000)
answer = connection.getresponse()
body = answer.read()
sys.stdout.buffer.write(b"HTTP/1.1 %d %s\r\n\r\n" % (answer.status, answer.reason.encode()) + body)
