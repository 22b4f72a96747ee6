"""One control group per file, named as the part of the request that it edits."""
