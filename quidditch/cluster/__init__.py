"""The same database over many machines: shards with replicas, behind the API that a directory has.

Rooms, from the bottom up; PROTOCOL.md has every key, stream, message and call between processes:

    state.py        what is kept where all processes see it: routing table, reports of nodes; values without a network
    allocation.py   one routing table made of another: pure
    orders.py       what people want done with copies, done to a routing table: pure
    routing.py      which shard a document belongs to: pure
    tls.py          who is let in by certificate; certificates.py makes them for a cluster of its own
    nats_server.py  the NATS servers that are ours: program, configuration, process
    loop.py         the thread in which a process's network runs
    nats_alone.py   what a process loads first, and does without
    connection.py   a process's connection to NATS; what is asked again, and what is refused
    log.py          WriteLog, the replicated log of a shard, and JetStreamLog
    messages.py     entries of the log, and the calls of a search on one shard, as bytes
    replica.py      a copy of a shard: a local index that follows the shard's log, each entry once
    agreement.py    do the copies of a shard agree: pure
    reseeding.py    logs that were lost, made anew from what the copies have
    keys.py         shared keys by compare-and-set, and mirrors that follow them
    silence.py      how long one is silent while others are heard: pure
    catalogue.py    what every process knows: indices, mappings by version, routing table, nodes
    transport.py    calls between processes over HTTP, many at once
    node_calls.py   what a data node answers about one shard
    memory.py       memory given back to the system
    data_node.py    the copies that the routing table gives a node; node_app.py is its HTTP, node_server.py answers it
    presence.py     how masters and coordinators say that they live, and what they speak
    picture.py      what a master decides by, made of what all processes see
    administration.py   what operators see and change, for a coordinator
    master.py       the static master: places copies, trims logs
    lanes.py        entries on their way to the log of a shard, in order and bounded, and what became of them
    preference.py, copies.py, pace.py
                    which copies are asked, in which order, and when a second one
    asking.py       one call of a shard, asked of its copies until one answers
    part.py, known_statistics.py, remote_search.py
                    one shard in a search under way; what is known of its statistics; all shards of a search
    remote_shard.py a shard as searches see it, and a view of it that lasts
    index_settings.py   how many shards and copies an index has: pure
    sharded_writer.py, cluster_index.py, coordinator.py
                    `Database` and `Index` over shards on other machines
    configuration.py, example.py, logs.py, process.py
                    a process in one role or several: what it is told, what it says
    layout.py, machine.py
                    a whole cluster on one machine (`quidditch cluster up`)
    beginnings.py   what a copy begins with where its log does not: a file of a peer, or of a snapshot
    snapshots.py, restoring.py, repositories.py
                    taking them, bringing them back, and the repositories that a cluster knows by name
"""
