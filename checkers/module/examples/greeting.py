#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A coprocess: passes when the server sends a line that begins with the setting
begin. One call at a time: that is what "parallel" says. What it prints must go to
standard error."""

import json
import socket
import struct
import sys


def read():
    """The next frame from the daemon, or None when it has gone."""
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        return None
    return json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))


def write(frame):
    text = json.dumps(frame).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(text)) + text)
    sys.stdout.buffer.flush()


def check(call):
    begin = call.get("args", {}).get("begin", "")
    address, timeout = (call["address"], call["port"]), call["deadline_ms"] / 1000
    try:
        with socket.create_connection(address, timeout) as s:
            line = s.makefile().readline(512).strip()
    except (OSError, UnicodeError) as error:
        return {"state": "fail", "message": str(error)}
    if not line.startswith(begin):
        return {"state": "fail", "message": "the greeting is " + line}
    return {"state": "pass", "message": line}


while (frame := read()) is not None:
    if frame["op"] == "hello":
        write({"op": "hello", "version": 1, "name": "greeting", "parallel": 1})
    else:
        write({"id": frame["id"], **check(frame)})
