# SPDX-License-Identifier: Apache-2.0
# Asks a service by its protocol, and prints what the library makes of the answer.
import ftplib
import imaplib
import poplib
import smtplib
import socket
import ssl
import sys

kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
patience = 20


def ftp():
    ftplib.FTP(timeout=patience).connect(host, port)


def tls():
    anybody = ssl._create_unverified_context()
    anybody.wrap_socket(socket.create_connection((host, port), patience))


def udp():
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(patience)
        s.connect((host, port))
        s.send(b"hello")
        print(s.recv(100))


def converse(question):
    with socket.create_connection((host, port), patience) as s:
        s.sendall(question)
        print(s.makefile("rb").read().decode())


try:
    {
        "ftp": ftp,
        "imap": lambda: imaplib.IMAP4(host, port, timeout=patience),
        "memcached": lambda: converse(b"get a\r\n"),
        "pop3": lambda: poplib.POP3(host, port, timeout=patience),
        "raw": lambda: converse(b"?"),
        "smtp": lambda: smtplib.SMTP(host, port, timeout=patience),
        "tls": tls,
        "udp": udp,
    }[kind]()
except Exception as problem:
    print(type(problem).__name__, problem)
    sys.exit(1)
