# SPDX-License-Identifier: Apache-2.0
import http.client
import ssl
import sys
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
if url.scheme == "https":
    trusted = ssl.create_default_context(cafile="shop.pem")
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=trusted)
else:
    connection = http.client.HTTPConnection(url.hostname, url.port)
connection.request("GET", url.path)
answer = connection.getresponse()
body = answer.read()
sys.stdout.buffer.write(b"HTTP/1.1 %d %s\r\n\r\n" % (answer.status, answer.reason.encode()) + body)
