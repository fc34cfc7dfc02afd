"""A file of configuration for a role, with every key that it heeds and what it is for."""

from __future__ import annotations

from collections.abc import Sequence

from quidditch.cluster.configuration import ROLES
from quidditch.errors import RequestError

GENERAL = """\
# A process of a cluster. Each key can be set by the environment too, and that goes first:
# QUIDDITCH_CLUSTER_SECRET, QUIDDITCH_CLUSTER_NATS_URLS=a,b, QUIDDITCH_CLUSTER_NODE_PORT, ...
roles = [{roles}]                # "master", "data", "coordinator": one, or several in one process
secret = "change me"             # the same in all processes of the cluster, and nobody else's
"""

DEFAULT_REPLICAS = """\
default_replicas = 1             # of indices that say nothing of it
"""

NATS = """
[nats]
urls = ["nats://127.0.0.1:4222"] # all servers; tls://... encrypts, by the files under [tls]
user = "quidditch"
password = "change me"
replicas = 1                     # copies of every log and key: 3 on three servers or more
allow_unsafe_log = false         # take a server older than 2.10, which loses writes when the power fails
"""

NAME = """
[node]
name = "{name}"                  # of this process, and no other
"""

NODE = """\
folder = "/var/lib/quidditch/{name}"
host = "127.0.0.1"               # where it listens; beyond this machine it needs [tls]
port = 9301
address = ""                     # host:port by which others reach it, where that is another
zone = ""                        # copies of a shard are kept in different zones
"""

MASTER = """
[master]
forget_after_s = 60              # a node that has been silent for so long gets its copies replaced
"""

REST = """
[rest]                           # OpenSearch's REST API, as `quidditch serve` has it
host = "127.0.0.1"               # beyond this machine it needs accounts, and TLS or insecure
port = 9200
workers = 1                      # processes that share the port
accounts = ""                    # the folder whose users and keys hold: quidditch users add FOLDER ...
tls_cert = ""
tls_key = ""
insecure = false                 # listen beyond this machine without TLS
allow_host = []                  # further names by which clients reach it
repositories = []                # directories below which snapshots may lie: ["/var/backups/quidditch"]
limits = []                      # as `quidditch serve --limit`: ["drain_s=10"]
"""

TLS = """
[tls]                            # between processes; all of the three, or none
ca = ""                          # the cluster's own CA: whoever has a certificate of it is let in
certificate = ""
key = ""
"""

LOG = """
[log]                            # on standard error
level = "info"                   # debug, info, warning, error
format = "auto"                  # json: an object a line; text; auto: text on a terminal
"""


def example(roles: Sequence[str]) -> str:
    """TOML for a process in these roles.

    raises: RequestError   there is no such role
    """
    if not roles or set(roles) - set(ROLES):
        raise RequestError(f"config: some of {', '.join(ROLES)} expected, not {list(roles)}")
    name = roles[0] if roles != ["data"] else "data-0"
    shown = ", ".join(f'"{role}"' for role in roles)
    parts = [GENERAL.replace("{roles}", shown)]
    parts += [DEFAULT_REPLICAS] if "coordinator" in roles else []
    parts += [NATS, NAME]
    parts += [NODE] if "data" in roles else []
    parts += [MASTER] if "master" in roles else []
    parts += [REST] if "coordinator" in roles else []
    return "".join(parts).replace("{name}", name) + TLS + LOG
