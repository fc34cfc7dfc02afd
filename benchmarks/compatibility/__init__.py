"""How much of OpenSearch's REST API is answered as OpenSearch does: conformance cases run against a server.

`python -m benchmarks.compatibility --cases DIR` writes docs/compatibility.md. The cases and their runner are not part
of this project: DIR holds `runner.py`, `api` and `test`.
"""
