"""Jobs: a request and the log of what happened to it, journaled before it is acknowledged, run in an order that is fair."""
