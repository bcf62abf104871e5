"""A demonstration on this machine: a server, replicas and workers, and what befalls them."""
