"""What keeps a server running: processes, what they know of each other, limits, logs and numbers.

supervising.py  the parent of several workers: starts them, starts those that died anew, stops them
peers.py        calls from one worker to another, over sockets of the file system
anywhere.py     scrolls, points in time and tasks, whichever worker holds them
accepting.py    which worker takes a connection
connections.py  the protocol of one connection: how long its headers may take, and how many they may be
pressure.py     which requests are let in, and how slowly a body may come; lanes.py how many run at a time
board.py        numbers that each worker counts, in memory that all read
metrics.py      those numbers and the engine's, as Prometheus reads them
logs.py         lines of JSON; slow searches and writes
watching.py     ASGI around the application: a request's id, its line in the log, its numbers
"""
