"""The store, written once for both engines: which transaction a business fact is, and how its rows are read."""
