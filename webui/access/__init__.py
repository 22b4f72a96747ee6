"""Who may come in, and who may see what: links, sessions, the password. Knows nothing of HTTP."""
