"""`hostler connect` and `hostler claude`: the configuration of clients, one file per client.

`client.py` says what a client is; `composing.py` makes a file's new text of the old one, `writing.py` puts it there and
takes it back, `choosing.py` asks the gateway what it has, `checking.py` makes one real call.
"""
