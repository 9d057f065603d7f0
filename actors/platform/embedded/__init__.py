"""The sibling modules as state machines for development and tests: they behave like the real ones, traps included."""
