#!/usr/bin/env python3
"""Deletes queues, as the owner of a queue prefix may: what a contract run has declared goes when it ends.

Usage: delete_queues.py AMQP_URL NAME...      A queue that does not exist is no error.
Speaks just enough AMQP 0-9-1 for that, so that no client library and no right over the broker is needed.
"""
import socket, ssl, struct, sys, urllib.parse

TUNE, OPENED, CHANNEL_OPENED, DELETED, CLOSED = (10, 30), (10, 41), (20, 11), (50, 41), (10, 51)


def short(text):
    raw = text.encode()
    return struct.pack(">B", len(raw)) + raw


class Connection:
    def __init__(self, url):
        place = urllib.parse.urlsplit(url)
        plain = socket.create_connection((place.hostname, place.port or (5671 if place.scheme == "amqps" else 5672)), timeout=10)
        secure = place.scheme == "amqps"
        self.socket = ssl.create_default_context().wrap_socket(plain, server_hostname=place.hostname) if secure else plain
        self.stream = self.socket.makefile("rb")
        user, password = (urllib.parse.unquote(part or "guest") for part in (place.username, place.password))
        response = f"\0{user}\0{password}".encode()
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.receive((10, 10))
        empty_table = struct.pack(">I", 0)
        self.send(0, 10, 11, empty_table + short("PLAIN") + struct.pack(">I", len(response)) + response + short("en_US"))
        channels, frame, _ = struct.unpack(">HIH", self.receive(TUNE)[:8])
        self.send(0, 10, 31, struct.pack(">HIH", channels, frame, 0))
        self.send(0, 10, 40, short(urllib.parse.unquote(place.path[1:]) or "/") + short("") + b"\0")
        self.receive(OPENED)
        self.send(1, 20, 10, short(""))
        self.receive(CHANNEL_OPENED)

    def send(self, channel, kind, method, arguments):
        payload = struct.pack(">HH", kind, method) + arguments
        self.socket.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def receive(self, expected):
        """The arguments of the method that must come next; heartbeats are skipped."""
        while True:
            head = self.stream.read(7)
            if len(head) < 7:
                sys.exit("delete_queues: the broker has closed the connection")
            frame, _, size = struct.unpack(">BHI", head)
            payload = self.stream.read(size + 1)
            if frame == 1:
                break
        method = struct.unpack(">HH", payload[:4])
        if method != expected:
            sys.exit(f"delete_queues: expected {expected}, got {method}: {payload[4:-1]!r}")
        return payload[4:-1]

    def delete(self, queue):
        self.send(1, 50, 40, struct.pack(">H", 0) + short(queue) + b"\0")
        self.receive(DELETED)

    def close(self):
        self.send(0, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0))
        self.receive(CLOSED)


connection = Connection(sys.argv[1])
for name in sys.argv[2:]:
    connection.delete(name)
connection.close()
