"""Who may do what: accounts, what a route needs, and what of the database its handler sees.

    grants.py    levels (read, write, admin), roles, the `Caller` of a request, and the `Need` of a route
    secrets.py   passwords (argon2id) and API keys to what is kept of them, and back to yes or no
    accounts.py  `security.json` beside the data: users, keys and roles, read and written as a whole
    throttle.py  how long somebody who fails has to wait
    origins.py   `Host` and `Origin`: requests that a page of the web made are refused
    heads.py     how long a path, how many headers and parameters a request may have
    logins.py    from the header of a request to its `Caller`
    gate.py      ASGI, around the application: from a request to its `Caller`, or 401 or 403
    exposure.py  where a server may be reached: beyond this machine only with accounts, and TLS or `--insecure`
    guarding.py  `GuardedDatabase`: the indices that a caller may use, as a `Database` that has no others
    owned.py     the scrolls and points in time that a caller has opened

A handler checks nothing. It gets a database in which what its caller may not see is not there, and whose indices
refuse what he may not do; so a handler that is added later is safe, too.
"""
