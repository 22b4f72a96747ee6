"""Models from the network, when somebody asks for one: what it weighs first, then the files, checked. Knows nothing of routes."""
