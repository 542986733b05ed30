"""Where user code runs: drivers behind one contract, the `/init` and `/run` client, the log demultiplexer."""
