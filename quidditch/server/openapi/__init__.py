"""The routes as an OpenAPI 3.1 document.

value_types.py  the schema of each parameter of the query string
bodies.py       what requests carry and answers hold
document.py     `document(routes)`: a path for each template, an operation for each method
"""

from quidditch.server.openapi.document import document

__all__ = ["document"]
