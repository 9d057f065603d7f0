"""The sibling modules as ports: for each a protocol, the HTTP client, and an embedded form for development."""
