"""What is typed becomes what is encoded: styles, comments, wildcards and choices. Text alone; knows nothing of torch or of HTTP."""
