"""A typed client of the gateway's HTTP API. :class:`hostler.client.gateway.Client` is the way in."""
