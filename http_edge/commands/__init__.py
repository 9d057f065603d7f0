"""The command line of those who operate a node: what it may do is the API's to say, how it looks is said here."""
