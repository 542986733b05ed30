"""A CouchDB for tests: strict where a real one is, and failing on demand. Built from recorded exchanges (tests/golden)."""
