# SPDX-License-Identifier: Apache-2.0
import http.client
import sys
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
connection.request("GET", url.path)
answer = connection.getresponse()
body = answer.read()
sys.stdout.buffer.write(b"HTTP/1.1 %d %s\r\n\r\n" % (answer.status, answer.reason.encode()) + body)
